#include "tls/certificate_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/test_certificates.h"

namespace postern::tls {
namespace {

using ::testing::ElementsAre;
using testing::TestCa;
using ::testing::UnorderedElementsAre;

const CertificateId mail = acmeCertificate("le", {"mail.example.org"});
const CertificateId imap = acmeCertificate("le", {"imap.example.org"});

TEST(CertificateIdTest, IsTheSameForTheSameNamesInAnyOrder) {
  EXPECT_EQ(acmeCertificate("le", {"b", "a", "b"}), acmeCertificate("le", {"a", "b"}));
  EXPECT_NE(acmeCertificate("le", {"a"}), acmeCertificate("other", {"a"}));
  EXPECT_NE(staticCertificate("le"), acmeCertificate("le", {}));
  EXPECT_EQ(staticCertificate("x").source, "certificate:x");
}

TEST(CertificateStoreTest, KeepsAMapOnceTakenAsItWas) {
  TestCa ca;
  CertificateStore store;
  const auto empty = store.current();
  const auto first = ca.issue({"mail.example.org"});
  store.publish(mail, first);
  const auto one = store.current();
  store.publish(mail, ca.issue({"mail.example.org"}));
  EXPECT_EQ(empty->find(mail), nullptr);
  EXPECT_EQ(one->find(mail), first);
  EXPECT_NE(store.current()->find(mail), first);
}

TEST(CertificateStoreTest, TellsSubscribersWhatChangedAfterTheNewMapStands) {
  TestCa ca;
  CertificateStore store;
  std::vector<CertificateId> changed;
  bool stood = false;
  const auto subscription = store.subscribe([&](const std::vector<CertificateId>& ids) {
    changed = ids;
    stood = store.current()->find(mail) != nullptr;
  });
  store.publish({{mail, ca.issue({"mail.example.org"})}, {imap, ca.issue({"imap.example.org"})}});
  EXPECT_THAT(changed, UnorderedElementsAre(mail, imap));
  EXPECT_TRUE(stood);
  changed.clear();
  store.withdraw({imap, staticCertificate("never there")});
  EXPECT_THAT(changed, ElementsAre(imap));
  store.unsubscribe(subscription);
  changed.clear();
  store.publish(imap, ca.issue({"imap.example.org"}));
  EXPECT_TRUE(changed.empty());
}

TEST(CertificateStoreTest, PublishesSeveralAtOnceSoThatNobodySeesHalfOfThem) {
  TestCa ca;
  CertificateStore store;
  const std::map<CertificateId, CertifiedKeyRef> even{{mail, ca.issue({"a"})}, {imap, ca.issue({"a"})}};
  const std::map<CertificateId, CertifiedKeyRef> odd{{mail, ca.issue({"b"})}, {imap, ca.issue({"b"})}};
  store.publish(even);
  std::atomic<bool> mixed = false, stop = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto map = store.current();
        if (map->find(mail)->names() != map->find(imap)->names()) mixed = true;
      }
    });
  }
  for (int i = 0; i < 2000; ++i) store.publish(i % 2 == 0 ? odd : even);
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_FALSE(mixed);
}

}  // namespace
}  // namespace postern::tls
