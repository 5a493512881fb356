#include "server/descriptors.h"

#include <sys/resource.h>

#include <algorithm>

namespace postern::server {

void raiseDescriptorLimit() noexcept {
  // Not the hard limit itself: there are programs, called as hooks, that close every number below the soft one.
  constexpr rlim_t enough = 65536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, enough);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  // Should that fail, the limit is what it was, and accept() says so when it is reached.
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace postern::server
