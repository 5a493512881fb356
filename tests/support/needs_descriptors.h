// POSTERN_NEEDS_DESCRIPTORS: in builds where the undefined behaviour sanitizer needs descriptors itself, to look at an
// object's type. A test that takes them all away from the process is left out there.
#pragma once

#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer) || __has_feature(address_sanitizer)
#define POSTERN_NEEDS_DESCRIPTORS
#endif
#endif
