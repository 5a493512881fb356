// What a Secret leaves in memory that it gives back. The thread sanitizer insists on its own operators new and delete:
// under it there is nothing here.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "base/secret.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define POSTERN_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define POSTERN_THREAD_SANITIZER
#endif

#ifndef POSTERN_THREAD_SANITIZER
namespace {

// Every block that is given back is searched for these bytes.
std::atomic<const char*> searchedFor{nullptr};
std::atomic<int> found{0};

}  // namespace

void* operator new(std::size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, malloc_usable_size(memory));
  return memory;
}
void operator delete(void* memory) noexcept {
  const char* text = searchedFor.load();
  const bool holds = memory != nullptr && text != nullptr &&
                     memmem(memory, malloc_usable_size(memory), text, std::strlen(text)) != nullptr;
  if (holds) ++found;
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}

namespace postern {
namespace {

constexpr const char* tail = "uvwxyz9876543";
const std::string longText = "a password that is far too long for a small buffer: " + std::string(tail);

class SearchFreedMemory {
 public:
  SearchFreedMemory() {
    found = 0;
    searchedFor = tail;
  }
  ~SearchFreedMemory() { searchedFor = nullptr; }
};

TEST(Secret, LeavesNothingOnTheHeapWhenItGoes) {
  {
    std::string plain = longText;
    const SearchFreedMemory search;
    {
      const Secret secret(std::move(plain));
      const Secret copy(secret);
    }
    EXPECT_EQ(found, 0);
  }
  std::string unprotected = longText;
  const SearchFreedMemory search;
  { const std::string gone = std::move(unprotected); }
  EXPECT_EQ(found, 1) << "this test would not notice a Secret that is not wiped";
}

TEST(Secret, LeavesNothingOnTheHeapWhenItIsAssignedTo) {
  Secret secret{longText};
  const Secret other{std::string(200, 'x')};
  const SearchFreedMemory search;
  secret = other;
  secret = Secret("short");
  EXPECT_EQ(found, 0);
}

}  // namespace
}  // namespace postern
#endif
