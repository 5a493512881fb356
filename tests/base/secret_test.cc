#include "base/secret.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <new>
#include <ostream>
#include <sstream>
#include <type_traits>
#include <utility>

#include "base/json.h"
#include "base/log.h"

namespace postern {
namespace {

bool holds(const void* memory, std::size_t size, const char* text) {
  return memmem(memory, size, text, std::strlen(text)) != nullptr;
}

constexpr const char* tail = "uvwxyz9876543";
const std::string longText = "a password that is far too long for a small buffer: " + std::string(tail);
const std::string shortText = std::string("s") + tail;  // 14 bytes: kept in the string's small buffer

// A Secret in memory that can be looked at after its end.
class Remains {
 public:
  Remains() { memory_.fill(0); }
  template <class... Args>
  Secret& make(Args&&... args) {
    return *new (memory_.data()) Secret(std::forward<Args>(args)...);
  }
  bool hold(const char* text) const { return holds(memory_.data(), memory_.size(), text); }

 private:
  alignas(Secret) std::array<unsigned char, sizeof(Secret)> memory_{};
};

template <class T>
concept Prints = requires(std::ostream& out, const T& value) {
  out << value;
};
template <class T>
concept MakesAField = requires(const T& value) {
  Field("name", value);
};
template <class T>
concept MakesJson = requires(const T& value) {
  Json(value);
};

static_assert(Prints<std::string> && !Prints<Secret>);
static_assert(MakesAField<std::string> && !MakesAField<Secret>);
static_assert(MakesJson<std::string> && !MakesJson<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<std::string, Secret>, "a secret is made on purpose");

TEST(Secret, RevealsWhatItWasMadeOf) {
  EXPECT_EQ(Secret(longText).reveal(), longText);
  EXPECT_EQ(Secret(shortText).reveal(), shortText);
  EXPECT_TRUE(Secret().empty());
}

TEST(Secret, CopiesAreIndependent) {
  Secret first(longText);
  Secret second(first);
  first = Secret("other");
  EXPECT_EQ(second.reveal(), longText);
  EXPECT_EQ(first.reveal(), "other");
  second = *&second;
  EXPECT_EQ(second.reveal(), longText);
}

TEST(Secret, ComparesContents) {
  EXPECT_EQ(Secret(longText), Secret(longText));
  EXPECT_NE(Secret("abc"), Secret("abd"));
  EXPECT_NE(Secret("abc"), Secret("ab"));
  EXPECT_EQ(Secret(), Secret(""));
}

TEST(Secret, LeavesNothingInItsSmallBufferWhenItGoes) {
  Remains remains;
  Secret& secret = remains.make(shortText);
  ASSERT_TRUE(remains.hold(tail));
  secret.~Secret();
  EXPECT_FALSE(remains.hold(tail));
}

TEST(Secret, LeavesNothingInItsSmallBufferWhenItIsMovedFrom) {
  Remains remains;
  Secret& secret = remains.make(shortText);
  const Secret taken(std::move(secret));
  EXPECT_EQ(taken.reveal(), shortText);
  EXPECT_FALSE(remains.hold("543"));
  secret.~Secret();
}

TEST(Secret, LeavesNoTailWhenShortContentsAreMovedIntoALongOne) {
  Remains remains;
  Secret& secret = remains.make(shortText);
  Secret target{longText};
  target = std::move(secret);
  EXPECT_EQ(target.reveal(), shortText);
  EXPECT_FALSE(remains.hold("543"));
  secret.~Secret();
}

}  // namespace
}  // namespace postern
