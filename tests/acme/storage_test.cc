#include "acme/storage.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "acme/jws.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_certificates.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;

const std::string directory = "https://ca.test:14000/dir";
const std::vector<std::string> names{"mail.example.org", "imap.example.org"};

class StorageTest : public ::testing::Test {
 protected:
  StorageTest() {
    LogSettings settings;
    settings.level = LogLevel::Debug;
    settings.file = folder / "log";
    if (std::string failed = log.configure(settings); !failed.empty()) throw std::runtime_error(failed);
    open();
  }
  void open() {
    storage.reset();
    storage = std::make_unique<Storage>(cache, log);
  }
  std::shared_ptr<CertificateFolder> certificate() { return storage->certificate(directory, names, "ecdsa-p256"); }
  tls::CertifiedKeyRef issued() const { return ca.issue(names); }
  tls::CertifiedKeyRef stored() {
    auto made = issued();
    certificate()->store(*made, Json(Json::Object{}));
    return made;
  }
  std::string logged() const { return support::contentOf(folder / "log"); }
  fs::path generation(int number) { return certificate()->path() / "generations" / std::to_string(number); }

  support::TemporaryFolder folder;
  const fs::path cache = folder / "var/cache";
  Log log;
  testing::TestCa ca;
  std::unique_ptr<Storage> storage;
};

std::size_t countOf(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_F(StorageTest, LaysTheCacheOutAsTheContractSays) {
  // printf 'https://ca.test:14000/dir' | sha256sum; printf 'imap.example.org\nmail.example.org' | sha256sum
  EXPECT_EQ(directoryFolderName(directory), "ca.test-a0b46e77");
  EXPECT_EQ(nameSetHash(names), "48f6bc83efbd737a");
  stored();
  const fs::path set = cache / "ca.test-a0b46e77/certificates/48f6bc83efbd737a";
  const fs::path type = set / "mail.example.org/ecdsa-p256";
  EXPECT_EQ(certificate()->path(), type);
  EXPECT_TRUE(fs::exists(type / "generations/1/privkey.pem"));
  EXPECT_TRUE(fs::exists(type / "generations/1/fullchain.pem"));
  EXPECT_TRUE(fs::exists(type / "generations/1/metadata.json"));
  EXPECT_EQ(fs::read_symlink(type / "current"), "generations/1");

  const tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  storage->saveAccount(directory, {"https://ca.test/acct/1", tls::keyToPem(key.get()), {"mailto:a@example.org"}});
  const fs::path account = cache / "ca.test-a0b46e77/accounts" / thumbprint(key.get());
  EXPECT_TRUE(fs::exists(account / "privkey.pem"));
  EXPECT_TRUE(fs::exists(account / "account.json"));
}

TEST(CacheNames, AreOneFolderWhateverTheUrlSays) {
  EXPECT_TRUE(directoryFolderName("https://CA.Example/x").starts_with("ca.example-"));
  EXPECT_TRUE(directoryFolderName("https://[::1]:14000/dir").starts_with("::1-"));
  EXPECT_TRUE(directoryFolderName("https://user@ca.test?x").starts_with("ca.test-"));
  EXPECT_TRUE(directoryFolderName("https://../../etc").starts_with("_..-"));
  EXPECT_NE(directoryFolderName("https://ca.test/a"), directoryFolderName("https://ca.test/b"));
  EXPECT_EQ(nameSetHash({"a", "b"}), nameSetHash({"b", "a", "b"}));
  EXPECT_NE(nameSetHash({"a", "b"}), nameSetHash({"ab"}));
}

TEST_F(StorageTest, KeepsFoldersAndFilesToItselfWhateverTheUmask) {
  const mode_t before = umask(0);
  stored();
  certificate()->pendingKey(tls::KeyType::EcdsaP256);
  certificate()->rememberOrder("https://ca.test/order/1", testing::machineTime());
  certificate()->saveHistory({});
  storage->saveAccount(directory, {"", tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get()), {}});
  storage->saveDirectoryMeta(directory, Json(Json::Object{}));
  umask(0777);
  certificate()->rememberOrder("https://ca.test/order/2", testing::machineTime());
  umask(before);
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(cache)) {
    if (entry.is_symlink()) continue;
    const auto mode = static_cast<unsigned>(entry.status().permissions());
    EXPECT_EQ(mode, entry.is_directory() ? 0700U : 0600U) << entry.path();
    files += entry.is_directory() ? 0 : 1;
  }
  EXPECT_EQ(files, 10);  // lock, three of the generation, key, order, history, two of the account, directory
  EXPECT_EQ(static_cast<unsigned>(fs::status(cache).permissions()), 0700U);
}

TEST_F(StorageTest, FindsASetWhateverTheOrderOfItsNames) {
  const auto made = stored();
  const auto other = storage->certificate(directory, {"imap.example.org", "mail.example.org"}, "ecdsa-p256");
  EXPECT_EQ(other->path(), certificate()->path());
  ASSERT_TRUE(other->load());
  EXPECT_EQ(other->load()->serial(), made->serial());
  open();
  const auto later = storage->certificate(directory, {"imap.example.org", "mail.example.org"}, "ecdsa-p256");
  EXPECT_EQ(later->load()->serial(), made->serial());
}

TEST_F(StorageTest, KeepsThreeGenerations) {
  for (int i = 0; i < 4; ++i) stored();
  const auto last = stored();
  EXPECT_EQ(support::entriesIn(certificate()->path() / "generations"), 3U);
  EXPECT_FALSE(fs::exists(generation(2)));
  EXPECT_TRUE(fs::exists(generation(3)));
  EXPECT_EQ(fs::read_symlink(certificate()->path() / "current"), "generations/5");
  EXPECT_EQ(certificate()->load()->serial(), last->serial());
  EXPECT_EQ(certificate()->loadAll().size(), 3U);
}

TEST_F(StorageTest, FallsBackToTheGenerationBeforeADamagedOne) {
  const auto good = stored();
  struct Damage {
    const char* file;
    std::optional<std::string> bytes;
  };
  const std::string otherKey(tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get()).reveal());
  int number = 1;
  for (const Damage& damage :
       {Damage{"privkey.pem", ""}, Damage{"fullchain.pem", "garbage"}, Damage{"privkey.pem", otherKey},
        Damage{"fullchain.pem", std::nullopt}, Damage{"privkey.pem", std::nullopt}}) {
    stored();
    ++number;
    if (damage.bytes) {
      support::write(generation(number) / damage.file, *damage.bytes);
    } else {
      fs::remove(generation(number) / damage.file);
    }
    const auto loaded = certificate()->load();
    ASSERT_TRUE(loaded) << damage.file;
    EXPECT_EQ(loaded->serial(), good->serial());
    EXPECT_EQ(fs::read_symlink(certificate()->path() / "current"), "generations/1");
    EXPECT_TRUE(fs::exists(certificate()->path() / "generations" / (std::to_string(number) + ".damaged-1")));
  }
  EXPECT_EQ(countOf(logged(), "acme.cache.damaged"), 5U);
  // A number is never used twice.
  stored();
  EXPECT_EQ(fs::read_symlink(certificate()->path() / "current"), "generations/7");
}

TEST_F(StorageTest, ServesAGenerationWhoseMetadataIsDamaged) {
  const auto made = stored();
  support::write(generation(1) / "metadata.json", "{");
  EXPECT_EQ(certificate()->load()->serial(), made->serial());
}

TEST_F(StorageTest, UsesAGenerationThatAppearedBeforeTheCrashThatLeftTheLinkBehind) {
  stored();
  const auto newest = stored();
  fs::remove(certificate()->path() / "current");
  fs::create_symlink("generations/1", certificate()->path() / "current");
  open();
  EXPECT_EQ(certificate()->load()->serial(), newest->serial());
  EXPECT_EQ(fs::read_symlink(certificate()->path() / "current"), "generations/2");
}

TEST_F(StorageTest, ForgetsTheOrderOfACertificateThatWasStoredBeforeTheCrash) {
  auto key = certificate()->pendingKey(tls::KeyType::EcdsaP256);
  certificate()->rememberOrder("https://ca.test/order/1", testing::machineTime());
  const std::string pem(tls::keyToPem(key.get()).reveal());
  const auto made = tls::makeSelfSigned(key.get(), names, testing::machineTime());
  certificate()->store(*made, {});
  EXPECT_FALSE(certificate()->pendingOrder());
  EXPECT_FALSE(fs::exists(certificate()->path() / "pending-key.pem"));
  // As a crash right after the generation appeared would have left it.
  support::write(certificate()->path() / "pending-key.pem", pem);
  certificate()->rememberOrder("https://ca.test/order/1", testing::machineTime());
  open();
  EXPECT_TRUE(certificate()->load());
  EXPECT_FALSE(certificate()->pendingOrder());
  EXPECT_FALSE(fs::exists(certificate()->path() / "pending-key.pem"));
}

TEST_F(StorageTest, KeepsTheOrderOfAnotherKey) {
  stored();
  certificate()->pendingKey(tls::KeyType::EcdsaP256);
  EXPECT_FALSE(certificate()->pendingSince());
  const Time now = std::chrono::floor<std::chrono::seconds>(testing::machineTime());
  certificate()->rememberOrder("https://ca.test/order/2", now);
  open();
  EXPECT_TRUE(certificate()->load());
  EXPECT_EQ(certificate()->pendingOrder(), "https://ca.test/order/2");
  EXPECT_EQ(certificate()->pendingSince(), now);
}

TEST_F(StorageTest, RemovesWhatACrashLeftHalfWritten) {
  stored();
  const fs::path generations = certificate()->path() / "generations";
  fs::create_directory(generations / ".new.abcdef");
  support::write(generations / ".new.abcdef/privkey.pem", "half");
  fs::create_directory(generations / ".old.1");
  support::write(certificate()->path() / ".tmp.abcdef", "half");
  open();
  EXPECT_EQ(support::entriesIn(generations), 1U);
  EXPECT_FALSE(fs::exists(certificate()->path() / ".tmp.abcdef"));
  EXPECT_TRUE(certificate()->load());
}

TEST_F(StorageTest, KeepsThePendingKeyUntilItsCertificateIsStored) {
  const auto key = certificate()->pendingKey(tls::KeyType::EcdsaP256);
  open();
  const auto again = certificate()->pendingKey(tls::KeyType::EcdsaP256);
  EXPECT_EQ(EVP_PKEY_eq(key.get(), again.get()), 1);
  stored();
  const auto next = certificate()->pendingKey(tls::KeyType::EcdsaP256);
  EXPECT_NE(EVP_PKEY_eq(key.get(), next.get()), 1);
}

TEST_F(StorageTest, MakesOnePendingKeyHoweverManyAskAtOnce) {
  std::vector<tls::KeyPtr> keys(8);
  {
    std::vector<std::jthread> threads;
    for (auto& key : keys) threads.emplace_back([&] { key = certificate()->pendingKey(tls::KeyType::EcdsaP256); });
  }
  for (const auto& key : keys) EXPECT_EQ(EVP_PKEY_eq(key.get(), keys.front().get()), 1);
}

TEST_F(StorageTest, SetsDamagedFilesOfAnOrderAside) {
  const auto key = certificate()->pendingKey(tls::KeyType::EcdsaP256);
  certificate()->rememberOrder("https://ca.test/order/1", testing::machineTime());
  for (const char* file : {"pending-key.pem", "history.json"}) support::write(certificate()->path() / file, "\x01");
  EXPECT_EQ(certificate()->history(), AttemptHistory{});
  EXPECT_NE(EVP_PKEY_eq(certificate()->pendingKey(tls::KeyType::EcdsaP256).get(), key.get()), 1);
  // What was ordered with the lost key can give nothing.
  EXPECT_FALSE(certificate()->pendingOrder());
  support::write(certificate()->path() / "pending-order.json", "[]");
  EXPECT_FALSE(certificate()->pendingOrder());
  for (const char* file : {"pending-key.pem", "history.json", "pending-order.json"}) {
    EXPECT_TRUE(fs::exists(certificate()->path() / (std::string(file) + ".damaged-1"))) << file;
  }
  EXPECT_EQ(countOf(logged(), "acme.cache.damaged"), 3U);
}

TEST_F(StorageTest, RemembersTheHistory) {
  AttemptHistory history;
  history.failures = 5;
  history.alike = 2;
  history.validations = 3;
  history.lastAttempt = parseRfc3339("2026-03-01T12:00:00Z");
  history.lastIssued = parseRfc3339("2026-01-01T12:00:00Z");
  history.notBefore = parseRfc3339("2026-03-01T12:30:00Z");
  Problem problem = makeProblem("urn:ietf:params:acme:error:dns", "no such name", "mail.example.org");
  problem.status = 400;
  problem.subproblems = {makeProblem("a", "b", "c")};
  history.lastError = problem;
  history.lastErrorAt = history.lastAttempt;
  history.configuration = "0123";
  certificate()->saveHistory(history);
  open();
  EXPECT_EQ(certificate()->history(), history);
}

TEST_F(StorageTest, FindsTheAccountOfADirectory) {
  EXPECT_FALSE(storage->account(directory));
  const Secret key = tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get());
  storage->saveAccount(directory, {"", key, {"mailto:a@example.org"}});
  EXPECT_EQ(storage->account(directory)->url, "");
  storage->saveAccount(directory, {"https://ca.test/acct/1", key, {"mailto:a@example.org"}});
  open();
  const auto account = storage->account(directory);
  ASSERT_TRUE(account);
  EXPECT_EQ(account->url, "https://ca.test/acct/1");
  EXPECT_TRUE(account->key == key);
  EXPECT_EQ(account->contact, std::vector<std::string>{"mailto:a@example.org"});
  EXPECT_FALSE(storage->account("https://ca.test:14000/other"));
}

TEST_F(StorageTest, KeepsTheKeyOfAnAccountWhoseUrlIsDamaged) {
  const Secret key = tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get());
  storage->saveAccount(directory, {"https://ca.test/acct/1", key, {}});
  const fs::path account = cache / directoryFolderName(directory) / "accounts";
  support::write(fs::directory_iterator(account)->path() / "account.json", "{\"url\":");
  ASSERT_TRUE(storage->account(directory));
  EXPECT_EQ(storage->account(directory)->url, "");
  EXPECT_TRUE(storage->account(directory)->key == key);
}

TEST_F(StorageTest, SaysThatTheKeyOfAnAccountIsLost) {
  storage->saveAccount(directory,
                       {"https://ca.test/acct/1", tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get()), {}});
  const fs::path account = cache / directoryFolderName(directory) / "accounts";
  support::write(fs::directory_iterator(account)->path() / "privkey.pem", "garbage");
  EXPECT_FALSE(storage->account(directory));
  EXPECT_NE(logged().find("acme.account.key-lost"), std::string::npos);
  EXPECT_NE(logged().find("https://ca.test/acct/1"), std::string::npos);
}

TEST_F(StorageTest, RemembersTheDirectorysMeta) {
  EXPECT_TRUE(storage->directoryMeta(directory).isNull());
  Json meta;
  meta["termsOfService"] = "https://ca.test/terms";
  storage->saveDirectoryMeta(directory, meta);
  open();
  EXPECT_EQ(storage->directoryMeta(directory), meta);
}

TEST_F(StorageTest, ShowsEveryReadableCertificateOfEveryDirectory) {
  for (int i = 0; i < 3; ++i) stored();
  const std::string other = "https://other.test/dir";
  storage->certificate(other, {"a.example.org"}, "ecdsa-p256")->store(*ca.issue({"a.example.org"}), {});
  support::write(generation(2) / "privkey.pem", "garbage");
  EXPECT_EQ(storage->everything().size(), 3U);
  int ofOther = 0;
  for (const auto& [name, certificate] : storage->everythingByDirectory())
    ofOther += name == directoryFolderName(other);
  EXPECT_EQ(ofOther, 1);
}

TEST_F(StorageTest, RefusesACacheThatAnotherHolderHasLocked) {
  try {
    Storage second(cache, log);
    FAIL() << "two of them hold the lock";
  } catch (const StorageUnavailable& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find(cache.string()), std::string::npos) << what;
    EXPECT_NE(what.find("pid " + std::to_string(getpid())), std::string::npos) << what;
  }
}

TEST_F(StorageTest, LocksOutAnotherProcessUntilThisOneIsDone) {
  const auto tryInAnotherProcess = [&] {
    const pid_t child = fork();
    if (child == 0) {
      int code = 0;
      try {
        Log quiet(LogSettings{LogLevel::Error, LogFormat::Text, ""});
        // A path of its own to the same folder, and no descriptor of its parent's: those hold the parent's lock.
        Storage second(cache / ".." / "cache", quiet);
      } catch (const StorageUnavailable&) {
        code = 3;
      }
      _exit(code);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(tryInAnotherProcess(), 3);
  storage.reset();
  EXPECT_EQ(tryInAnotherProcess(), 0);
  open();  // the dead process holds nothing
}

// Root may write everywhere, so the test is somebody else while this object lives.
class NotRoot {
 public:
  NotRoot() {
    if (before_ == 0 && seteuid(65534) != 0) throw std::runtime_error("cannot become nobody");
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;
  ~NotRoot() {
    if (seteuid(before_) != 0) std::abort();
  }

 private:
  const uid_t before_ = geteuid();
};

TEST_F(StorageTest, NamesPathOwnerModeAndRemedyOfAFolderItCannotUse) {
  fs::permissions(folder.path(), fs::perms(0755));
  const fs::path closed = folder / "closed";
  fs::create_directory(closed);
  fs::permissions(closed, fs::perms(0500));
  {
    const NotRoot nobody;
    for (const fs::path& path : {closed, closed / "cache"}) {
      try {
        Storage denied(path, log);
        ADD_FAILURE() << path << " was opened";
      } catch (const StorageUnavailable& error) {
        const std::string what = error.what();
        EXPECT_NE(what.find(path.string()), std::string::npos) << what;
        EXPECT_NE(what.find("0500"), std::string::npos) << what;
        EXPECT_NE(what.find("chown"), std::string::npos) << what;
      }
    }
  }
  fs::permissions(closed, fs::perms::owner_all);
}

TEST_F(StorageTest, RefusesACacheThatIsAFile) {
  support::write(folder / "file", "");
  try {
    Storage denied(folder / "file", log);
    FAIL() << "it was opened";
  } catch (const StorageUnavailable& error) {
    EXPECT_NE(std::string(error.what()).find((folder / "file").string()), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("belongs to"), std::string::npos) << error.what();
  }
}

TEST_F(StorageTest, FailsToWriteWithAnErrorOfStorage) {
  // A file where a folder must be, which stops root as well.
  support::write(cache / directoryFolderName(directory), "");
  try {
    certificate()->rememberOrder("https://ca.test/order/1", testing::machineTime());
    FAIL() << "it was written";
  } catch (const Error& error) {
    EXPECT_EQ(error.problem.type, "postern:storage");
    EXPECT_NE(error.problem.detail.find(cache.string()), std::string::npos);
  }
  EXPECT_FALSE(certificate()->pendingOrder());
  EXPECT_FALSE(certificate()->load());
}

TEST_F(StorageTest, ProbesTheCacheWithoutATrace) {
  storage->probeWritable();
  EXPECT_EQ(support::entriesIn(cache), 1U);  // the lock
  fs::remove_all(cache);
  support::write(cache, "a file in its place");
  EXPECT_THROW(storage->probeWritable(), Error);
}

}  // namespace
}  // namespace postern::acme
