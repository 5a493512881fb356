// What this program calls itself. From CMake's project().
#pragma once

namespace postern::server {

inline constexpr const char* version = POSTERN_VERSION;
inline constexpr const char* userAgent = "postern/" POSTERN_VERSION " (+" POSTERN_HOMEPAGE ")";

}  // namespace postern::server
