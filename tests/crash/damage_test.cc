// Every file of the cache, damaged in every way that disks, editors and backups know: the server comes up and serves.
#include <fstream>
#include <iostream>
#include <set>

#include "tests/crash/scene.h"

namespace postern::test {
namespace {

enum class Damage { Truncated, Emptied, Garbage, Swapped, FromAnotherGeneration, Deleted, BecameAFolder, Dangling };
constexpr std::array allDamages{
    Damage::Truncated, Damage::Emptied,       Damage::Garbage, Damage::Swapped, Damage::FromAnotherGeneration,
    Damage::Deleted,   Damage::BecameAFolder, Damage::Dangling};

const char* nameOf(Damage damage) {
  switch (damage) {
    case Damage::Truncated: return "truncated";
    case Damage::Emptied: return "emptied";
    case Damage::Garbage: return "garbage";
    case Damage::Swapped: return "swapped with the next file";
    case Damage::FromAnotherGeneration: return "of another generation";
    case Damage::Deleted: return "deleted";
    case Damage::BecameAFolder: return "a folder";
    case Damage::Dangling: return "a dangling link";
  }
  return "";
}

class Damaged : public Scene {
 protected:
  // False where it cannot be done to this file.
  bool damage(const std::vector<fs::path>& all, std::size_t which, Damage kind) const {
    const fs::path file = cache() / all[which];
    const bool isLink = fs::is_symlink(file);
    const std::string bytes = isLink ? "" : support::contentOf(file);
    switch (kind) {
      case Damage::Truncated:
        if (isLink || bytes.size() < 2) return false;
        support::write(file, bytes.substr(0, bytes.size() / 2));
        return true;
      case Damage::Emptied:
        if (isLink) return false;
        support::write(file, "");
        return true;
      case Damage::Garbage:
        fs::remove(file);  // a link, too
        support::write(file, std::string("\x7f\x00\xff garbage {[\n", 15) + std::string(3000, '\xa5'));
        return true;
      case Damage::Swapped: {
        const fs::path other = cache() / all[(which + 1) % all.size()];
        const fs::path aside = cache().string() + ".aside";
        fs::rename(file, aside);
        fs::rename(other, file);
        fs::rename(aside, other);
        return true;
      }
      case Damage::FromAnotherGeneration: {
        if (file.parent_path().parent_path().filename() != "generations") return false;
        const fs::path other = file.parent_path().parent_path() / (file.parent_path().filename() == "1" ? "2" : "1");
        if (!fs::exists(other)) return false;
        fs::copy_file(other / file.filename(), file, fs::copy_options::overwrite_existing);
        return true;
      }
      case Damage::Deleted: fs::remove(file); return true;
      case Damage::BecameAFolder:
        fs::remove(file);
        fs::create_directory(file);
        support::write(file / "inside", "?");
        return true;
      case Damage::Dangling:
        fs::remove(file);
        fs::create_symlink("nowhere/to-be-found", file);
        return true;
    }
    return false;
  }

  // Damages each file of the kept cache in each way and lives on it, beginning at `begins`.
  struct Result {
    int cases = 0;
    std::set<std::string> names;  // of the files that were damaged
  };
  Result liveOnAllDamages(const std::string& kept, Time begins, const std::string& successorOf) {
    Result result;
    restoreCache(kept);
    const auto all = files();
    for (std::size_t which = 0; which < all.size(); ++which) {
      for (const Damage kind : allDamages) {
        restoreCache(kept);
        clock.set(begins);
        if (!damage(all, which, kind)) continue;
        ++result.cases;
        result.names.insert(all[which].filename());
        const int issued = ca->issued();
        const std::string what = all[which].string() + " is " + nameOf(kind);
        Life made = life(successorOf);
        const Ending ending = live(made);
        expectServedAndKept(ending, what);
        EXPECT_LE(ca->issued(), issued + 1) << what;
        if (HasFailure()) {
          std::cout << said();
          return result;
        }
      }
    }
    return result;
  }
};

// What is in a cache between two orders.
const std::set<std::string> lasting{"privkey.pem",  "fullchain.pem",     "metadata.json", "current", "account.json",
                                    "history.json", "renewal-info.json", "ledger.jsonl",  "lock",    "directory.json"};

TEST_F(Damaged, AnyFileOfARunningServersCacheLeavesACertificateServed) {
  offerWindows();
  std::string serial;
  for (int generation = 0; generation < 3; ++generation) {
    if (generation > 0) clock.advance(renewalDue);
    Life made = life(serial);
    made.awaitsWindow = true;
    const Ending ending = live(made);
    ASSERT_EQ(ending.status, 0) << ending.words;
    serial = ending.serial;
  }
  keepCacheAs("whole");
  const Result result = liveOnAllDamages("whole", clock.now() + 24h, "");
  EXPECT_GT(result.cases, 110);
  EXPECT_EQ(result.names, lasting);
  std::cout << "damage: " << result.cases << " cases of a file of a complete cache, served after each" << std::endl;
}

TEST_F(Damaged, AnyFileBeforeARenewalLeavesItPossible) {
  offerWindows();
  Life made = life();
  made.awaitsWindow = true;
  const Ending first = live(made);
  ASSERT_EQ(first.status, 0) << first.words;
  keepCacheAs("due");
  const Result result = liveOnAllDamages("due", clock.now() + renewalDue, first.serial);
  EXPECT_GT(result.cases, 60);
  EXPECT_EQ(result.names, lasting);
  std::cout << "damage: " << result.cases << " cases of a file before a renewal, renewed after each" << std::endl;
}

TEST_F(Damaged, AnyFileInTheMiddleOfAnOrderLeavesItPossible) {
  // The first point at which the order is on disk and not yet over.
  int point = 0;
  do {
    ASSERT_LT(++point, 1000);
    forgetCache();
    newCa();
    Life made = life();
    made.fault = {Fault::Kind::Kill, point};
    ASSERT_TRUE(live(made).killed) << "no point in the middle of an order";
  } while (!knowsAnOrder());
  keepCacheAs("order");
  const Result result = liveOnAllDamages("order", clock.now(), "");
  EXPECT_GT(result.cases, 45);
  for (const char* name : {"pending-order.json", "privkey.pem", "account.json", "ledger.jsonl", "directory.json"}) {
    EXPECT_EQ(result.names.count(name), 1U) << name;
  }
  std::cout << "damage: " << result.cases << " cases of a file in the middle of an order, issued after each"
            << std::endl;
}

}  // namespace
}  // namespace postern::test
