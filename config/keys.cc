#include "config/keys.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace postern::config {
namespace {

struct Row {
  KeyPath parts;
  const Key* key;
};

// Every place a key can stand at, those per listener written out.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = [] {
    std::vector<Row> made;
    for (const Key& key : keys()) {
      made.push_back({split(key.pattern, '.'), &key});
      if (!key.alsoPerListener) continue;
      KeyPath perListener = made.back().parts;
      perListener.insert(perListener.begin() + 1, {"listener", "<id>"});
      made.push_back({std::move(perListener), &key});
    }
    return made;
  }();
  return all;
}

bool isPlaceholder(const std::string& part) {
  return part == "<id>" || part == "<name>";
}

bool begins(const KeyPath& pattern, const KeyPath& path) {
  if (pattern.size() < path.size()) return false;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (pattern[i] == path[i] || (isPlaceholder(pattern[i]) && path[i] != "[]")) continue;
    return false;
  }
  return true;
}

// Below these whole trees belong to others. "*": any name.
const std::vector<KeyPath>& foreignKeys() {
  static const std::vector<KeyPath> all{{"server", "http"},
                                        {"server", "security"},
                                        {"server", "url"},
                                        {"server", "allowed-ip"},
                                        {"server", "blocked-ip"},
                                        {"server", "allowed-ips"},
                                        {"server", "blocked-ips"},
                                        {"server", "fail2ban"},
                                        {"server", "asn"},
                                        {"server", "listener", "*", "url"},
                                        {"server", "listener", "*", "data"},
                                        {"server", "listener", "*", "http"},
                                        {"global", "shared-map"},
                                        {"global", "lookup"},
                                        {"global", "expression"},
                                        {"global", "tracing", "rotate"},
                                        {"global", "tracing", "ansi"},
                                        {"global", "tracing", "transport"},
                                        {"global", "tracing", "endpoint"},
                                        {"global", "tracing", "headers"},
                                        {"global", "tracing", "multiline"},
                                        {"global", "tracing", "enable"},
                                        {"certificate", "*", "default"},
                                        {"certificate", "*", "sni-subjects"},
                                        {"acme", "*", "default"},
                                        {"directory", "memory", "type"},
                                        {"directory", "memory", "options"},
                                        {"directory", "memory", "cache"},
                                        {"directory", "memory", "lookup"},
                                        {"directory", "memory", "store"},
                                        {"directory", "memory", "principals", "[]", "type"},
                                        {"directory", "memory", "principals", "[]", "class"},
                                        {"directory", "memory", "principals", "[]", "description"},
                                        {"directory", "memory", "principals", "[]", "quota"},
                                        {"directory", "memory", "principals", "[]", "member-of"},
                                        {"directory", "memory", "principals", "[]", "email-list"},
                                        {"directory", "memory", "principals", "[]", "members"},
                                        {"directory", "memory", "principals", "[]", "roles"},
                                        {"directory", "memory", "principals", "[]", "tenant"}};
  return all;
}

}  // namespace

const Key* findKey(const KeyPath& path) {
  for (const Row& row : rows()) {
    if (row.parts.size() == path.size() && begins(row.parts, path)) return row.key;
  }
  return nullptr;
}

bool isSection(const KeyPath& path) {
  return std::any_of(rows().begin(), rows().end(),
                     [&path](const Row& row) { return row.parts.size() > path.size() && begins(row.parts, path); });
}

std::vector<std::string> namesBelow(const KeyPath& path) {
  std::set<std::string> names;
  for (const Row& row : rows()) {
    if (row.parts.size() > path.size() && begins(row.parts, path) && !isPlaceholder(row.parts[path.size()])) {
      names.insert(row.parts[path.size()]);
    }
  }
  return {names.begin(), names.end()};
}

std::string typeText(const Key& key) {
  switch (key.type) {
    case Type::Any: return "text, number or boolean";
    case Type::Text: return "text";
    case Type::Boolean: return "true or false";
    case Type::Count: return "number";
    case Type::Duration: return "duration";
    case Type::Size: return "size";
    case Type::Rate: return "rate";
    case Type::Path: return "path";
    case Type::Secret: return "secret";
    case Type::Pem: return "PEM or file";
    case Type::Url: return "https URL";
    case Type::Word: return "one of " + joined(key.words, ", ");
    case Type::Address: return "address";
    case Type::Ip: return "IP address";
    case Type::Names: return "list of names";
    case Type::Words: return "list of " + joined(key.words, ", ");
    case Type::Texts: return "list of texts";
    case Type::Paths: return "list of paths";
    case Type::Addresses: return "list of addresses";
    case Type::Networks: return "list of networks";
    case Type::Contacts: return "list of mail addresses";
    case Type::MailAddresses: return "list of mail addresses";
    case Type::Domains: return "list of names or lists of names";
    case Type::Tables: return "list of tables";
  }
  return "";
}

std::string_view issueName(Issue issue) {
  switch (issue) {
    case Issue::Main: return "main";
    case Issue::Tls: return "tls";
    case Issue::Edge: return "edge";
    case Issue::Operations: return "operations";
  }
  return "";
}

bool isSecret(const KeyPath& path) {
  const auto last = std::find_if(path.rbegin(), path.rend(), [](const std::string& part) { return part != "[]"; });
  return last != path.rend() && (*last == "secret" || *last == "private-key" || *last == "hmac-key");
}

bool isForeignSection(const std::string& name) {
  static const std::set<std::string> foreign{
      "account",       "ai",           "alerts",     "asn",        "auth",      "authentication",
      "authenticated", "blob",         "bootstrap",  "bayes",      "calendar",  "changes",
      "cluster",       "config",       "contacts",   "dav",        "dkim",      "email",
      "enterprise",    "file-storage", "fts",        "form",       "history",   "http",
      "http-lookup",   "imap",         "jmap",       "key",        "lookup",    "mailbox",
      "management",    "metrics",      "milter",     "mta",        "oauth",     "pop3",
      "purge",         "push",         "queue",      "relay",      "remote",    "report",
      "resolver",      "session",      "shared-map", "sharing",    "sieve",     "signature",
      "spam",          "spam-filter",  "store",      "submission", "telemetry", "tracer",
      "tracing",       "webadmin",     "web-hooks",  "webhook"};
  return foreign.count(name) > 0;
}

bool isForeignKey(const KeyPath& path) {
  for (const KeyPath& foreign : foreignKeys()) {
    if (foreign.size() != path.size()) continue;
    bool same = true;
    for (std::size_t i = 0; i < path.size(); ++i) same = same && (foreign[i] == path[i] || foreign[i] == "*");
    if (same) return true;
  }
  return false;
}

}  // namespace postern::config
