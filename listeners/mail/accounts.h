// Accounts: who may log in and whose mail is delivered here. Immutable once made; any thread.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace postern::mail {

// One [[directory.memory.principals]].
struct Account {
  std::string name;                 // login; also the folder of its Maildir, so no "/" and no leading "."
  Secret secret;                    // plain, or a crypt(3) hash ("$y$...", "$6$...")
  std::vector<std::string> emails;  // addresses delivered to it; lower-case domain
  bool operator==(const Account&) const = default;
};

class Accounts {
 public:
  explicit Accounts(std::vector<Account> accounts = {});
  Accounts(const Accounts&) = delete;  // what it hands out points into it: share it by pointer
  Accounts& operator=(const Accounts&) = delete;

  // Blocking (crypt(3) is slow on purpose): on a worker only. Takes as long for an unknown name. `login` is the name or
  // one of the addresses. Null when refused.
  const Account* authenticate(std::string_view login, const Secret& password) const;
  // The account that an address (local-part@domain; the domain in any case, the local part too unless another account
  // has it in exactly this case) is delivered to. Null when none.
  const Account* recipient(std::string_view address) const;
  // The account that `<postmaster>` without a domain goes to (RFC 5321 section 4.5.1): the first that has a
  // postmaster@ address in any of the domains. Null when none.
  const Account* postmaster() const;
  // Whether any account has an address in this domain: an unknown recipient there is "no such user", elsewhere "relay
  // denied".
  bool isLocalDomain(std::string_view domain) const;
  bool empty() const { return accounts_.empty(); }

 private:
  std::vector<Account> accounts_;
  std::map<std::string, const Account*, std::less<>> byName_, byAddress_, byFoldedAddress_;
  std::set<std::string, std::less<>> domains_;
  std::vector<const Secret*> hashed_;  // for unknown names to be checked against
};

}  // namespace postern::mail
