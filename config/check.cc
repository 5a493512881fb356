#include "config/check.h"

#include <algorithm>

#include "base/text.h"

namespace postern::config {
namespace {

using Checked = Parsed<std::string>;

template <class T>
Checked described(const Parsed<T>& parsed, const std::string& text) {
  return parsed ? Checked{text, "", ""} : Checked::refused(parsed.problem, parsed.remedy);
}

bool isListType(Type type) {
  switch (type) {
    case Type::Any:
    case Type::Text:
    case Type::Boolean:
    case Type::Count:
    case Type::Duration:
    case Type::Size:
    case Type::Rate:
    case Type::Path:
    case Type::Secret:
    case Type::Pem:
    case Type::Url:
    case Type::Word:
    case Type::Address:
    case Type::Ip: return false;
    case Type::Names:
    case Type::Words:
    case Type::Texts:
    case Type::Paths:
    case Type::Addresses:
    case Type::Networks:
    case Type::Contacts:
    case Type::MailAddresses:
    case Type::Domains:
    case Type::Tables: return true;
  }
  return false;
}

Checked wordOf(const Key& key, const Node& node) {
  if (node.isText() && std::find(key.words.begin(), key.words.end(), node.text) != key.words.end()) {
    return {node.text, "", ""};
  }
  const std::string near = node.isText() && !node.hidden ? nearest(node.text, key.words) : "";
  return Checked::refused("expected one of " + joined(key.words, ", "),
                          near.empty() ? "" : "did you mean " + near + "?");
}

Checked durationOf(const Key& key, const Node& node) {
  const bool days = key.pattern.find("renew-before") != std::string::npos;
  const auto value = toDuration(node, days ? "d" : "s");
  if (value && (value.value->count() < key.least || value.value->count() > key.most)) {
    return Checked::refused(value.value->count() == 0 ? "expected a duration above zero"
                                                      : "expected a duration of at most ten years");
  }
  return described(value, value ? std::to_string(value.value->count()) : "");
}

class Walk {
 public:
  explicit Walk(Report& report) : report_(report) {}

  void section(const Node& table, const KeyPath& path) {
    for (const auto& [name, node] : table.members) {
      KeyPath below = path;
      below.push_back(name);
      if (const Key* key = findKey(below)) {
        value(*key, node, below);
      } else if (isSection(below)) {
        if (node.isTable()) {
          section(node, below);
        } else if (!node.broken) {
          report_.error(below, node, "expected a section", "write [" + dotted(below) + "]");
        }
      } else {
        unknown(name, node, below);
      }
    }
  }

 private:
  void unknown(const std::string& name, const Node& node, KeyPath path) {
    const KeyPath whole = path;
    path.pop_back();
    const std::string near = nearest(name, namesBelow(path));
    Node bare;  // its value may be anything, a secret under a misspelt name too
    bare.place = node.place;
    report_.warning(whole, bare, node.isTable() ? "unknown section, passed over" : "unknown key, passed over",
                    near.empty() ? "" : "did you mean " + near + "?");
  }

  void value(const Key& key, const Node& node, const KeyPath& path) {
    if (node.broken) return;
    std::string canonical;
    bool good = true;
    if (key.type == Type::Tables) {
      good = tables(node, path);
    } else if (node.isOff()) {
      return;  // "" and []: as if not set
    } else if (isListType(key.type)) {
      for (const Node* item : members(key, node)) good = one(key, *item, path, canonical) && good;
    } else {
      good = one(key, node, path, canonical);
    }
    if (good && key.issue != Issue::Main && !isDefault(key, node, canonical)) {
      report_.error(path, node, "not yet in effect: this version knows the key and does nothing with it",
                    "leave it out; the default is " + key.fallback);
    }
  }

  static std::vector<const Node*> members(const Key& key, const Node& node) {
    std::vector<const Node*> all;
    if (!node.isList()) return {&node};
    for (const Node& item : node.items) {
      if (key.type == Type::Domains && item.isList()) {
        for (const Node& inner : item.items) all.push_back(&inner);
      } else {
        all.push_back(&item);
      }
    }
    return all;
  }

  bool one(const Key& key, const Node& node, const KeyPath& path, std::string& canonical) {
    if (node.broken) return false;
    const Checked checked = checkedValue(key, node);
    if (!checked) {
      report_.error(path, node, checked.problem, checked.remedy);
      return false;
    }
    canonical += (canonical.empty() ? "" : ", ") + *checked.value;
    return true;
  }

  bool tables(const Node& node, const KeyPath& path) {
    std::vector<const Node*> all;
    if (node.isTable()) all.push_back(&node);
    for (const Node& item : node.items) all.push_back(&item);
    if (all.empty() && !node.isOff()) {
      report_.error(path, node, "expected a list of tables", "write [[" + dotted(path) + "]] or [{ ... }]");
      return false;
    }
    KeyPath below = path;
    below.emplace_back("[]");
    for (const Node* item : all) {
      if (item->isTable()) {
        section(*item, below);
      } else {
        report_.error(path, *item, "expected a table", "write { key = value, ... }");
        return false;
      }
    }
    return true;
  }

  static bool isDefault(const Key& key, const Node& node, const std::string& canonical) {
    if (key.type == Type::Tables) return node.isOff();
    if (key.type != Type::Duration) return canonical == key.fallback;
    Node fallback;
    fallback.kind = Node::Kind::Text;
    fallback.text = key.fallback;
    const Checked standard = checkedValue(key, fallback);
    return standard && *standard.value == canonical;
  }

  Report& report_;
};

}  // namespace

Parsed<std::string> checkedValue(const Key& key, const Node& node) {
  switch (key.type) {
    case Type::Any: return {node.text, "", ""};
    case Type::Text:
    case Type::Texts: return toText(node);
    case Type::Boolean: {
      const auto value = toBoolean(node);
      return described(value, value && *value.value ? "true" : "false");
    }
    case Type::Count: {
      const auto value = toCount(node, key.least, key.most);
      return described(value, value ? std::to_string(*value.value) : "");
    }
    case Type::Duration: return durationOf(key, node);
    case Type::Size: {
      const auto value = toSize(node);
      if (value && *value.value > (1LL << 30)) return Checked::refused("expected a size of at most 1G");
      return described(value, value ? std::to_string(*value.value) : "");
    }
    case Type::Rate: return toRate(node);
    case Type::Path:
    case Type::Paths: return toPath(node);
    case Type::Secret:
    case Type::Pem:
      return node.isText() ? Checked{node.text, "", ""} : Checked::refused("expected a text", "put it into quotes");
    case Type::Url: return toHttpsUrl(node);
    case Type::Word:
    case Type::Words: return wordOf(key, node);
    case Type::Address:
    case Type::Addresses: return described(toAddress(node), node.text);
    case Type::Ip: return toIp(node);
    case Type::Names:
    case Type::Domains: return toHostname(node);
    case Type::Networks: return described(toNetwork(node), node.text);
    case Type::Contacts: return toContact(node);
    case Type::MailAddresses:
      // A catch-all of other mail servers: told where accounts are read.
      if (node.isText() && node.text.size() > 1 && node.text.front() == '@')
        return described(hostname(node.text.substr(1)), node.text);
      return toMailAddress(node);
    case Type::Tables: break;
  }
  return Checked::refused("expected a list of tables");
}

void check(const Node& root, Report& report) {
  Walk(report).section(root, {});
}

}  // namespace postern::config
