// What an administrator asks of accounts and certificates beyond renewal: RFC 8555 sections 7.3 and 7.6.
#include <algorithm>
#include <utility>

#include "acme/manager_impl.h"
#include "base/text.h"

namespace postern::acme {

// A provider that a request to the CA holds on to. Given back under caches_, as letGo() does: a cache that nobody else
// wants any more is closed before it can be opened again.
class Manager::Impl::Borrowed {
 public:
  Borrowed(Impl& impl, std::shared_ptr<ProviderCare> care, std::string name)
      : impl_(impl), care_(std::move(care)), name_(std::move(name)) {}
  ~Borrowed() {
    std::lock_guard lock(impl_.caches_);
    care_.reset();
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  ProviderCare* operator->() const { return care_.get(); }
  AccountAnswer named(AccountAnswer answer) const {
    answer.provider = name_;
    return answer;
  }

 private:
  Impl& impl_;
  std::shared_ptr<ProviderCare> care_;
  const std::string name_;
};

AccountAnswer Manager::account(const std::string& provider, std::stop_token stop) {
  const auto care = impl_->borrow(provider);
  return care.named(care->account(std::move(stop)));
}
AccountAnswer Manager::rolloverAccount(const std::string& provider, std::stop_token stop) {
  const auto care = impl_->borrow(provider);
  return care.named(care->rolloverAccount(std::move(stop)));
}
AccountAnswer Manager::deactivateAccount(const std::string& provider, std::stop_token stop) {
  const auto care = impl_->borrow(provider);
  return care.named(care->deactivateAccount(std::move(stop)));
}
RevokeAnswer Manager::revoke(const std::string& name, const std::string& provider, int reason, std::stop_token stop) {
  return impl_->revoke(name, provider, reason, std::move(stop));
}

Manager::Impl::Borrowed Manager::Impl::borrow(const std::string& provider) {
  std::vector<std::string> known;
  {
    std::lock_guard lock(mutex_);
    if (const Section* section = sectionNamed(provider)) return Borrowed(*this, section->care, provider);
    for (const auto& section : sections_) {  // the staging of one, named by its URL, has that one's name
      if (std::find(known.begin(), known.end(), section.provider.name) == known.end()) {
        known.push_back(section.provider.name);
      }
    }
  }
  throw Error(makeProblem("postern:account", "there is no provider " + provider +
                                                 (known.empty() ? "" : "; there are " + joined(known, ", "))));
}

// Under the lock. Those in service with the name.
std::vector<Manager::Impl::Revocable> Manager::Impl::revocable(const std::string& name,
                                                               const std::string& provider) const {
  std::vector<Revocable> found;
  for (const auto& [key, managed] : managed_) {
    if (!managed->certificate || !std::binary_search(key.names.begin(), key.names.end(), lower(name))) continue;
    const auto& sections = managed->sections;
    const auto section = std::find_if(sections.begin(), sections.end(),
                                      [&](const auto& each) { return provider.empty() || each.provider == provider; });
    if (section == sections.end()) continue;
    const std::size_t route = managed->care->held() ? managed->care->held()->route : 0;
    found.push_back({managed, managed->routes[route].provider, managed->certificate, section->id});
  }
  return found;
}

RevokeAnswer Manager::Impl::revoke(const std::string& name, const std::string& provider, int reason,
                                   std::stop_token stop) {
  std::vector<Revocable> found;
  const auto giveBack = [&] {
    std::lock_guard lock(caches_);
    found.clear();
  };
  RevokeAnswer answer;
  try {
    {
      std::lock_guard lock(mutex_);
      found = revocable(name, provider);
    }
    for (const auto& each : found) {
      each.provider->revoke(*each.certificate, reason, stop);
      parts_.log.warn(
          "acme.certificate.revoked",
          {{"names", joined(each.certificate->names())}, {"serial", each.certificate->serial()}, {"reason", reason}});
      answer.revoked.push_back({each.id, each.certificate->serial()});
      replace(*each.managed, *each.certificate, stop);
    }
  } catch (const Error& error) {
    giveBack();
    if (answer.revoked.empty()) throw;
    // Half of it is done and cannot be taken back: whoever asked is told.
    Problem problem = error.problem;
    problem.detail += "; revoked before that:";
    for (const auto& one : answer.revoked) problem.detail += " " + one.serial;
    throw Error(std::move(problem), error.retryAfter);
  } catch (...) {
    giveBack();
    throw;
  }
  giveBack();
  return answer;
}

// Orders a successor of what was revoked, for a key that nobody has seen: neither reuse-key's, nor the one of an order
// that is under way. That this is wanted is on disk first, and a restart orders again.
void Manager::Impl::replace(ManagedCertificate& managed, const tls::CertifiedKey& revoked, std::stop_token stop) {
  // While locked, so that no order begins in between: a few files that are removed, once in a long time.
  const auto drop = [&] {
    for (std::size_t route = 0; route < managed.routes.size(); ++route) {
      try {
        managed.folderOf(route).dropPending();
        managed.care->pendingDropped(route);
      } catch (const Error& error) {
        parts_.log.error("acme.cache.unwritable",
                         {{"path", managed.folderOf(route).path().string()}, {"error", error.problem.detail}});
      }
    }
  };
  bool stale = false;  // the order under way; one that begins from now on knows of the new key and is left alone
  {
    std::lock_guard lock(mutex_);
    stale = managed.ordering();
    managed.care->wantNewKey(revoked.serial());
    if (!stale) drop();
  }
  saveHistories(managed);
  {
    std::unique_lock lock(mutex_);
    if (stale) {
      if (managed.ordering()) managed.work->thread.request_stop();
      if (!ended_.wait(lock, stop, [&] { return closing_ || !managed.ordering(); })) throw Stopped();
      drop();
    }
    const bool replaced = managed.certificate && managed.certificate->serial() != revoked.serial() &&
                          EVP_PKEY_eq(managed.certificate->key(), revoked.key()) != 1;
    if (replaced) {
      managed.care->newKeyIsThere();
    } else if (!managed.ordering()) {
      managed.care->wantNewKey(
          revoked.serial());  // again: what was stale may have ended with a certificate for the old key
      managed.care->orderNow(parts_.clock.now(), true);
    }
    touch(managed);
  }
  saveHistories(managed);
  wakeDecider();
}

}  // namespace postern::acme
