// What the kernel's table of mounts says of a path that cannot be looked at itself.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "server/doctor.h"

namespace postern::server {
namespace {

namespace fs = std::filesystem;

struct Mount {
  std::string point, type, source;
};

// proc(5): blanks, tabs, line feeds and backslashes stand there as \040 and the like.
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && text.find_first_not_of("01234567", at + 1) >= at + 4 && at + 3 < text.size()) {
      result += static_cast<char>(std::stoi(text.substr(at + 1, 3), nullptr, 8));
      at += 3;
    } else {
      result += text[at];
    }
  }
  return result;
}

bool isBelow(const std::string& path, const std::string& point) {
  return point == "/" || path == point || path.starts_with(point + "/");
}

// The mount that a path lies on, by its text alone: following links would mean touching them.
Mount mountOf(const std::string& path, const std::string& mountinfo) {
  Mount best;
  std::ifstream table(mountinfo);
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string skipped, word;
    Mount each;
    words >> skipped >> skipped >> skipped >> skipped >> each.point;
    while (words >> word && word != "-") continue;  // options, and any number of optional fields
    words >> each.type >> each.source;
    each.point = unescaped(each.point);
    each.source = unescaped(each.source);
    // Of two at one place the later one lies above.
    if (isBelow(path, each.point) && each.point.size() >= best.point.size()) best = each;
  }
  return best;
}

}  // namespace

Finding hungPath(const std::string& path, Duration limit, const std::string& mountinfo) {
  const std::string whole = fs::path(path).is_absolute() ? fs::path(path).lexically_normal().string() : path;
  const Mount mount = mountOf(whole, mountinfo);
  const std::string problem = "the file system of " + path + " does not answer within " + inWords(limit);
  if (mount.point.empty() || mount.point == "/") {
    return {Weight::Error, "disk", path, problem,
            "see `dmesg` for errors of the disk, and whether a link on the way leads to a network file system that "
            "hangs"};
  }
  return {Weight::Error, "disk", path,
          problem + " (" + mount.point + " is mounted from " + mount.source + ", " + mount.type + ")",
          "bring " + mount.source + " back; or `umount -l " + mount.point +
              "`, mount it again, and restart what had it open; or name another place in the configuration"};
}

std::string mountPointOf(const std::string& path) {
  const std::string point = mountOf(path, "/proc/self/mountinfo").point;
  return point.empty() ? "/" : point;
}

}  // namespace postern::server
