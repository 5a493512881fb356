// directory.memory: who may log in and whose mail is delivered here.
#include <map>

#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

class AccountReader {
 public:
  AccountReader(const Reader& reader, Settings& settings) : reader_(reader), settings_(settings) {}

  void read(const Found& principal) {
    mail::Account account;
    const Found name = member(principal, "name"), secret = member(principal, "secret");
    account.name = reader_.text(name);
    checkName(principal, name, account.name);
    account.secret = readSecret(principal, secret);
    for (const Found& item : reader_.items(member(principal, "email"))) addEmail(item, account);
    settings_.accounts.push_back(std::move(account));
  }

 private:
  static Found member(const Found& principal, const std::string& name) {
    const auto at = principal.node->members.find(name);
    if (at == principal.node->members.end()) return {};
    return {&at->second, principal.path / name};
  }

  void absent(const Found& principal, const Found& found, const std::string& key, const std::string& remedy) {
    if (found && found.node->broken) return;
    reader_.report().missing(principal.path / key, found ? found.node->place : principal.node->place, "required",
                             remedy);
  }

  void checkName(const Found& principal, const Found& found, const std::string& name) {
    if (!found || found.node->isOff())
      return absent(principal, found, "name", "every account has a name to log in with");
    if (!found.node->isText() || found.node->broken) return;
    if (name.front() == '.' || name.find('/') != std::string::npos) {
      reader_.error(found, "the name is also a folder: it has no / and no leading dot");
    }
    const auto first = names_.emplace(name, found.node->place);
    if (!first.second)
      reader_.error(found, "set twice; the first account of this name stands at " + placeText(first.first->second));
  }

  Secret readSecret(const Found& principal, const Found& found) {
    if (!found || found.node->isOff()) {
      absent(principal, found, "secret", "postern passwd makes a hash of a password");
      return Secret();
    }
    return Secret(readSecretText(reader_, found).value_or(""));
  }

  void addEmail(const Found& item, mail::Account& account) {
    if (item.node->isText() && item.node->text.front() == '@') {
      reader_.warning(item, "addresses for a whole domain are passed over", "list the addresses");
      return;
    }
    const auto address = toMailAddress(*item.node);
    if (!address) return;
    const auto first = emails_.emplace(*address.value, item.node->place);
    if (!first.second) {
      reader_.error(item, "set twice; the first account with this address stands at " + placeText(first.first->second));
    }
    account.emails.push_back(*address.value);
  }

  const Reader& reader_;
  Settings& settings_;
  std::map<std::string, Place> names_, emails_;
};

}  // namespace

void readAccounts(const Reader& reader, Settings& settings) {
  if (reader.boolean(reader.find({"directory", "memory", "disable"}), false)) return;
  AccountReader accounts(reader, settings);
  const KeyPath principals{"directory", "memory", "principals"};
  for (const Found& principal : reader.items(reader.raw(principals))) {
    if (!principal.node->isTable()) continue;
    Found at = principal;
    at.path = {"directory", "memory", "principals", "[]"};
    accounts.read(at);
    if (settings.maildir.empty() && settings.accounts.size() == 1) {
      Node bare;
      bare.place = principal.node->place;
      reader.report().note(principals, bare, "without storage.maildir accounts log in, but get and read no mail here",
                           "set storage.maildir to the folder of their mail");
    }
  }
}

}  // namespace postern::config
