// Keys: the one table of every key that a configuration can hold. Checks of types, of unknown keys and of keys that are
// not yet in effect come from it, and docs/configuration.md is held against it by a test.
//
// Constant; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"

namespace postern::config {

// What brings a key into effect. Main: it is; a key of any other is typed, and refused when it is not its default.
enum class Issue { Main, Tls, Edge, Operations };

enum class Type {
  Any,
  Text,
  Boolean,
  Count,
  Duration,
  Size,
  Rate,
  Path,
  Secret,
  Pem,
  Url,
  Word,
  Address,
  Ip,  // one value
  Names,
  Words,
  Texts,
  Paths,
  Addresses,
  Networks,
  Contacts,
  MailAddresses,
  Domains,  // a list, or one value
  Tables    // [[...]]
};

struct Key {
  std::string pattern;  // "server.listener.<id>.bind"; "[]" marks the members of a list of tables
  Type type;
  std::string fallback;  // the default as documentation shows it; "none", "required"
  Issue issue;
  std::string meaning;                           // one line
  std::vector<std::string> words = {};           // Word, Words: what is allowed
  std::int64_t least = 0, most = 1'000'000'000;  // Count; Duration in milliseconds
  bool alsoPerListener = false;                  // "server.x" stands also at "server.listener.<id>.x"
};

const std::vector<Key>& keys();
// The key that stands at this path (list indices left out, "[]" for them), or null.
const Key* findKey(const KeyPath& path);
// Whether keys begin with this path.
bool isSection(const KeyPath& path);
// The names that may follow this path; for "nearest".
std::vector<std::string> namesBelow(const KeyPath& path);
// "duration", "list of names": for documentation and messages.
std::string typeText(const Key& key);
std::string_view issueName(Issue issue);
// secret, private-key and hmac-key, wherever they stand.
bool isSecret(const KeyPath& path);

// What belongs to other mail servers: top-level sections, and keys inside ours. Passed over with a note each.
bool isForeignSection(const std::string& name);
bool isForeignKey(const KeyPath& path);

}  // namespace postern::config
