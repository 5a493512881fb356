#include "listeners/mail/delivery.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace postern::mail {
namespace {

class MaildirTransaction : public Transaction {
 public:
  explicit MaildirTransaction(std::vector<std::filesystem::path> folders)
      : folders_(std::move(folders)), spool_(folders_.front()) {}

  void append(std::string_view bytes) override { spool_.append(bytes); }

  void commit() override {
    spool_.seal();
    // Whatever can fail for want of space or rights fails while nobody sees anything yet.
    std::vector<Incoming> copies;
    copies.reserve(folders_.size());
    for (std::size_t i = 1; i < folders_.size(); ++i) copies.push_back(spool_.copyTo(folders_[i]));
    copies.push_back(std::move(spool_));
    std::size_t published = 0;
    try {
      for (; published < copies.size(); ++published) copies[published].publish();
    } catch (...) {
      // The client will send it again: nobody shall have it twice.
      for (std::size_t i = 0; i < published; ++i) copies[i].withdraw();
      throw;
    }
  }

 private:
  std::vector<std::filesystem::path> folders_;
  Incoming spool_;
};

}  // namespace

std::unique_ptr<Transaction> MaildirDelivery::begin(const std::vector<const Account*>& recipients) const {
  std::vector<std::filesystem::path> folders;
  for (const Account* account : recipients) {
    auto folder = root_ / account->name;
    if (std::find(folders.begin(), folders.end(), folder) == folders.end()) folders.push_back(std::move(folder));
  }
  if (folders.empty()) throw std::invalid_argument("a message without recipients");
  return std::make_unique<MaildirTransaction>(std::move(folders));
}

}  // namespace postern::mail
