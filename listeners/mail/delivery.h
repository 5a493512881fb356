// Delivery: takes an accepted message to its recipients.
//
// begin() and a Transaction's calls block on the disk: on a worker only, one thread at a time per transaction; begin()
// may be called by many at once. Failures throw SystemError; a transaction that is destroyed without a finished
// commit() leaves nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "listeners/mail/accounts.h"
#include "listeners/mail/incoming.h"

namespace postern::mail {

class Transaction {
 public:
  virtual ~Transaction() = default;
  virtual void append(std::string_view bytes) = 0;  // lines end with CRLF
  // The message is with every recipient, and on disk, when this returns.
  virtual void commit() = 0;
};

class Delivery {
 public:
  virtual ~Delivery() = default;
  // `recipients` are borrowed for the call; one copy per account, however many of its addresses were named.
  virtual std::unique_ptr<Transaction> begin(const std::vector<const Account*>& recipients) const = 0;
};

// Into the INBOX of each account's Maildir, `root`/<account name>: written once, linked into the others.
class MaildirDelivery : public Delivery {
 public:
  explicit MaildirDelivery(std::filesystem::path root) : root_(std::move(root)) {}
  std::unique_ptr<Transaction> begin(const std::vector<const Account*>& recipients) const override;

 private:
  std::filesystem::path root_;
};

}  // namespace postern::mail
