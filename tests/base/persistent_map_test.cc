#include "base/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace postern {
namespace {

// Few hashes, which share their low bits: entries with one hash, and long ways together.
struct PoorHash {
  std::size_t operator()(int key) const { return static_cast<std::size_t>(key % 7) << 40; }
};

template <class Map>
std::map<int, int> contentOf(const Map& map) {
  std::map<int, int> content;
  map.forEach([&](int key, int value) { EXPECT_TRUE(content.emplace(key, value).second) << key; });
  return content;
}

template <class Map>
class PersistentMapTest : public ::testing::Test {};
using Maps = ::testing::Types<PersistentMap<int, int>, PersistentMap<int, int, PoorHash>>;
TYPED_TEST_SUITE(PersistentMapTest, Maps);

TYPED_TEST(PersistentMapTest, HoldsWhatAStdMapHoldsAfterAnyChanges) {
  std::mt19937 random(1);
  TypeParam map;
  std::map<int, int> model;
  for (int i = 0; i < 3000; ++i) {
    const int key = static_cast<int>(random() % 300);
    if (random() % 3 == 0) {
      map = map.without(key);
      model.erase(key);
    } else {
      map = map.with(key, i);
      model[key] = i;
    }
    ASSERT_EQ(map.size(), model.size());
  }
  EXPECT_EQ(contentOf(map), model);
  for (int key = 0; key < 300; ++key) {
    const int* const found = map.find(key);
    ASSERT_EQ(found != nullptr, model.contains(key)) << key;
    if (found != nullptr) {
      EXPECT_EQ(*found, model[key]);
    }
  }
}

TYPED_TEST(PersistentMapTest, LeavesTheMapItWasMadeFromAsItWas) {
  const TypeParam before = TypeParam().with(1, 10).with(8, 80).with(2, 20);
  const TypeParam other = before.with(1, 11).without(8).with(3, 30);
  EXPECT_EQ(contentOf(before), (std::map<int, int>{{1, 10}, {2, 20}, {8, 80}}));
  EXPECT_EQ(contentOf(other), (std::map<int, int>{{1, 11}, {2, 20}, {3, 30}}));
}

TYPED_TEST(PersistentMapTest, MadeAtOnceIsTheSameAndKeepsTheFirstOfAKey) {
  const TypeParam map(std::vector<std::pair<int, int>>{{1, 10}, {8, 80}, {1, 11}, {15, 150}, {8, 81}});
  EXPECT_EQ(map.size(), 3u);
  EXPECT_EQ(contentOf(map), (std::map<int, int>{{1, 10}, {8, 80}, {15, 150}}));
  EXPECT_TRUE(TypeParam(std::vector<std::pair<int, int>>{}).empty());
}

TYPED_TEST(PersistentMapTest, TellsExactlyWhatDiffersBetweenTwo) {
  std::mt19937 random(2);
  TypeParam before;
  for (int i = 0; i < 200; ++i) before = before.with(i, i);
  TypeParam after = before;
  std::map<int, std::pair<int, int>> expected;  // -1: none
  for (int i = 0; i < 30; ++i) {
    const int key = static_cast<int>(random() % 250);
    after = i % 2 == 0 ? after.without(key) : after.with(key, 1000 + i);
  }
  for (int key = 0; key < 250; ++key) {
    const int *was = before.find(key), *is = after.find(key);
    const std::pair<int, int> change{was == nullptr ? -1 : *was, is == nullptr ? -1 : *is};
    if (change.first != change.second) expected[key] = change;
  }
  std::map<int, std::pair<int, int>> told;
  before.changes(after, [&](int key, const int* was, const int* is) {
    EXPECT_TRUE(told.emplace(key, std::make_pair(was == nullptr ? -1 : *was, is == nullptr ? -1 : *is)).second);
  });
  EXPECT_EQ(told, expected);
}

// Counts how often values are compared: what two maps share is not looked at.
struct Watched {
  int value = 0;
  static inline int compared = 0;
  bool operator==(const Watched& other) const {
    ++compared;
    return value == other.value;
  }
};

TEST(PersistentMapCost, OfAChangeIsThatOfWhatChangedWhateverTheSize) {
  std::vector<std::pair<std::string, Watched>> entries;
  for (int i = 0; i < 50'000; ++i) entries.push_back({std::to_string(i), {i}});
  const PersistentMap<std::string, Watched> before(std::move(entries));
  const auto after = before.with("77", {1});
  Watched::compared = 0;
  std::size_t seen = 0;
  before.changes(after, [&](const std::string& key, const Watched*, const Watched*) {
    EXPECT_EQ(key, "77");
    ++seen;
  });
  EXPECT_EQ(seen, 1u);
  EXPECT_LE(Watched::compared, 2);
}

}  // namespace
}  // namespace postern
