#include "config/reader.h"

#include <limits>

namespace postern::config {

KeyPath operator/(KeyPath path, const std::string& name) {
  path.push_back(name);
  return path;
}

KeyPath operator/(KeyPath path, const KeyPath& below) {
  path.insert(path.end(), below.begin(), below.end());
  return path;
}

Found Reader::raw(const KeyPath& path) const {
  const Node* node = &root_;
  for (const std::string& name : path) {
    const auto at = node->members.find(name);
    if (at == node->members.end()) return {};
    node = &at->second;
  }
  return {node, path};
}

Found Reader::find(const KeyPath& path) const {
  Found found = raw(path);
  if (!found || found.node->isOff() || found.node->broken) return {};
  return found;
}

Found Reader::inherited(const std::string& listener, const KeyPath& below) const {
  const KeyPath own = KeyPath{"server", "listener", listener} / below;
  if (raw(own)) return find(own);
  return find(KeyPath{"server"} / below);
}

std::vector<Found> Reader::items(const Found& found) const {
  std::vector<Found> all;
  if (!found) return all;
  if (!found.node->isList()) return {found};
  for (const Node& item : found.node->items) {
    if (!item.isOff() && !item.broken) all.push_back({&item, item.isTable() ? found.path / "[]" : found.path});
  }
  return all;
}

std::vector<std::string> Reader::ids(const KeyPath& path) const {
  std::vector<std::string> names;
  const Found section = raw(path);
  if (!section) return names;
  for (const auto& [name, member] : section.node->members) {
    if (member.isTable()) names.push_back(name);
  }
  return names;
}

Place Reader::placeOf(KeyPath path) const {
  while (!path.empty()) {
    if (const Found found = raw(path)) return found.node->place;
    path.pop_back();
  }
  return {root_.place.file, 1};
}

std::string Reader::text(const Found& found, const std::string& fallback) const {
  if (!found || !found.node->isText()) return fallback;
  return found.node->text;
}

bool Reader::boolean(const Found& found, bool fallback) const {
  return found ? toBoolean(*found.node).value.value_or(fallback) : fallback;
}

std::int64_t Reader::count(const Found& found, std::int64_t fallback) const {
  if (!found) return fallback;
  // The key's bounds were checked with its type: settings are given out only when nothing was wrong.
  return toCount(*found.node, 0, std::numeric_limits<std::int32_t>::max()).value.value_or(fallback);
}

std::chrono::milliseconds Reader::duration(const Found& found, std::chrono::milliseconds fallback) const {
  return found ? toDuration(*found.node).value.value_or(fallback) : fallback;
}

std::optional<std::int64_t> Reader::size(const Found& found) const {
  return found ? toSize(*found.node).value : std::nullopt;
}

void Reader::require(const KeyPath& path, const std::string& problem, const std::string& remedy) const {
  const Found found = raw(path);
  if (incomplete_ || (found && !found.node->isOff())) return;
  KeyPath section = path;
  section.pop_back();
  report_.missing(path, found ? found.node->place : placeOf(section), problem, remedy);
}

}  // namespace postern::config
