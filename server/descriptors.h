// Descriptors: how many files this process may have open.
#pragma once

namespace postern::server {

// Raises the soft limit to what the packaged unit gives (65,536), or to the hard limit where that is lower; never
// lowers it. A shell, and many containers, start programs with 1,024: an eighth of the default of max-connections.
// Called at the start, before anything is opened.
void raiseDescriptorLimit() noexcept;

}  // namespace postern::server
