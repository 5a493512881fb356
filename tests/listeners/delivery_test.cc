#include "listeners/mail/delivery.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "listeners/mail/mailbox.h"
#include "tests/support/temporary_folder.h"

namespace postern::mail {
namespace {

using support::entriesIn;

class DeliveryTest : public testing::Test {
 protected:
  std::vector<std::string> inbox(const std::string& name) {
    Mailbox mailbox(temporary_ / name);
    mailbox.scan(true);
    std::vector<std::string> texts;
    for (const auto& message : mailbox.messages()) texts.push_back(mailbox.read(message).value_or("gone"));
    return texts;
  }
  using Texts = std::vector<std::string>;

  support::TemporaryFolder temporary_;
  MaildirDelivery delivery_{temporary_.path()};
  const Account jane_{"jane", {}, {}}, joe_{"joe", {}, {}}, jim_{"jim", {}, {}};
};

TEST_F(DeliveryTest, ReachesEveryRecipientOnce) {
  auto transaction = delivery_.begin({&jane_, &joe_, &jane_});
  transaction->append("Subject: x\r\n");
  transaction->append("\r\nbody\r\n");
  EXPECT_EQ(entriesIn(temporary_ / "jane/new"), 0u);
  transaction->commit();
  EXPECT_EQ(inbox("jane"), Texts{"Subject: x\r\n\r\nbody\r\n"});
  EXPECT_EQ(inbox("joe"), Texts{"Subject: x\r\n\r\nbody\r\n"});
  EXPECT_EQ(entriesIn(temporary_ / "jane/tmp") + entriesIn(temporary_ / "joe/tmp"), 0u);
}

TEST_F(DeliveryTest, LeavesNothingWithoutACommit) {
  delivery_.begin({&jane_, &joe_})->append("half");
  EXPECT_EQ(entriesIn(temporary_ / "jane/tmp"), 0u);
  EXPECT_EQ(inbox("jane"), Texts{});
}

TEST_F(DeliveryTest, ReachesNobodyWhereOneRecipientCannotBeReached) {
  support::write(temporary_ / "jim", "a file where a folder should be");
  auto transaction = delivery_.begin({&jane_, &joe_, &jim_});
  transaction->append("x\r\n");
  EXPECT_THROW(transaction->commit(), SystemError);
  transaction.reset();
  for (const char* name : {"jane", "joe"}) {
    EXPECT_EQ(entriesIn(temporary_ / name / "tmp"), 0u);
    EXPECT_EQ(inbox(name), Texts{});
  }
}

TEST_F(DeliveryTest, TakesBackWhatWasPublishedWhereALaterRecipientFails) {
  // Each stage in the order it is published in: whoever comes last fails, and nobody keeps a copy.
  for (const std::string& broken : {std::string("jane"), std::string("joe"), std::string("jim")}) {
    inbox("jane"), inbox("joe"), inbox("jim");
    auto transaction = delivery_.begin({&jane_, &joe_, &jim_});
    transaction->append("x\r\n");
    std::filesystem::remove(temporary_ / broken / "new");
    support::write(temporary_ / broken / "new", "in the way");
    EXPECT_THROW(transaction->commit(), SystemError);
    transaction.reset();
    std::filesystem::remove(temporary_ / broken / "new");
    for (const char* name : {"jane", "joe", "jim"}) {
      EXPECT_EQ(entriesIn(temporary_ / name / "tmp"), 0u) << broken;
      EXPECT_EQ(inbox(name), Texts{}) << broken;
    }
  }
}

}  // namespace
}  // namespace postern::mail
