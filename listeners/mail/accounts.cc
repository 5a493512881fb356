#include "listeners/mail/accounts.h"

#include <crypt.h>

#include <cstring>
#include <functional>
#include <utility>

#include "base/text.h"

namespace postern::mail {
namespace {

// Local part as it stands, domain in lower case.
std::string normalised(std::string_view address) {
  const auto at = address.rfind('@');
  if (at == std::string_view::npos) return std::string(address);
  return std::string(address.substr(0, at)) + lower(address.substr(at));
}

bool isHash(const Secret& secret) {
  return secret.reveal().starts_with('$');
}

bool matches(const Secret& secret, const Secret& password) {
  if (!isHash(secret)) return secret == password;
  const std::string key(password.reveal()), setting(secret.reveal());
  // crypt(3) reads C strings: a password with a NUL would be as good as its beginning.
  const bool whole = key.find('\0') == std::string::npos;
  const auto data = std::make_unique<crypt_data>();  // 32 KiB
  const char* hashed = crypt_r(key.c_str(), setting.c_str(), data.get());
  const bool same = hashed && hashed[0] != '*' && Secret(hashed) == secret;
  // crypt_data and the copy of the password hold what must not linger on the heap.
  explicit_bzero(data.get(), sizeof(crypt_data));
  explicit_bzero(const_cast<char*>(key.data()), key.size());
  return same && whole;
}

}  // namespace

Accounts::Accounts(std::vector<Account> accounts) : accounts_(std::move(accounts)) {
  for (const auto& account : accounts_) {
    byName_.emplace(account.name, &account);
    for (const auto& email : account.emails) {
      const auto address = normalised(email);
      byAddress_.emplace(address, &account);
      byFoldedAddress_.emplace(lower(address), &account);
      if (const auto at = address.rfind('@'); at != std::string::npos) domains_.insert(address.substr(at + 1));
    }
    if (isHash(account.secret)) hashed_.push_back(&account.secret);
  }
}

const Account* Accounts::authenticate(std::string_view login, const Secret& password) const {
  const Account* account = nullptr;
  if (const auto named = byName_.find(login); named != byName_.end()) account = named->second;
  if (!account) account = recipient(login);
  if (account && isHash(account->secret)) return matches(account->secret, password) ? account : nullptr;
  // A name that has no hash, or is not there, takes as long as one that has: one of ours, always the same for a name,
  // because hashes may differ in cost.
  if (!hashed_.empty()) matches(*hashed_[std::hash<std::string_view>()(login) % hashed_.size()], password);
  // An empty secret means that nobody may log in, not that anybody may.
  if (!account || account->secret.empty()) return nullptr;
  return matches(account->secret, password) ? account : nullptr;
}

const Account* Accounts::recipient(std::string_view address) const {
  const auto wanted = normalised(address);
  if (const auto exact = byAddress_.find(wanted); exact != byAddress_.end()) return exact->second;
  // People write names in any case; an exact match was preferred above.
  const auto folded = byFoldedAddress_.find(lower(wanted));
  return folded == byFoldedAddress_.end() ? nullptr : folded->second;
}

bool Accounts::isLocalDomain(std::string_view domain) const {
  return domains_.contains(lower(domain));
}

const Account* Accounts::postmaster() const {
  for (const auto& domain : domains_) {
    if (const Account* account = recipient("postmaster@" + domain)) return account;
  }
  return nullptr;
}

}  // namespace postern::mail
