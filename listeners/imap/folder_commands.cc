#include "listeners/imap/folder_commands.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/text.h"
#include "listeners/imap/response.h"

namespace postern::imap {
namespace {

constexpr std::size_t mostStatusItems = 20;

std::string_view specialUse(std::string_view name) {
  using Use = std::pair<std::string_view, std::string_view>;
  constexpr std::array<Use, 5> uses{Use{"Sent", "\\Sent"}, Use{"Drafts", "\\Drafts"}, Use{"Trash", "\\Trash"},
                                    Use{"Junk", "\\Junk"}, Use{"Archive", "\\Archive"}};
  for (const auto& use : uses) {
    if (use.first == name) return use.second;
  }
  return {};
}

bool hasInferiors(const std::set<std::string>& names, const std::string& name) {
  const auto at = names.lower_bound(name + '.');
  return at != names.end() && at->starts_with(name + '.');
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return result;
}

// INBOX is meant in any case.
bool means(const std::string& pattern, const std::string& name) {
  return name == "INBOX" ? matchesPattern(upper(pattern), name) : matchesPattern(pattern, name);
}

}  // namespace

bool matchesPattern(std::string_view pattern, std::string_view name) {
  // reach[i]: whether the pattern so far can have taken the first i characters of the name.
  std::vector<bool> reach(name.size() + 1);
  reach[0] = true;
  for (const char c : pattern) {
    if (c == '*' || c == '%') {
      for (std::size_t i = 1; i <= name.size(); ++i) {
        if (reach[i - 1] && (c == '*' || name[i - 1] != '.')) reach[i] = true;
      }
    } else {
      for (std::size_t i = name.size(); i > 0; --i) reach[i] = reach[i - 1] && name[i - 1] == c;
      reach[0] = false;
    }
  }
  return reach[name.size()];
}

void list(std::string& out, const mail::Maildir& maildir, const ListRequest& request) {
  const std::string_view verb = request.subscribed ? "LSUB" : "LIST";
  const auto tell = [&](const std::string& attributes, const std::string& name) {
    out += "* " + std::string(verb) + " (" + attributes + ") \".\" ";
    appendAString(out, name);
    out += "\r\n";
  };
  if (request.pattern.empty() && !request.subscribed) {
    out += "* LIST (\\Noselect) \".\" \"\"\r\n";  // only the separator was asked for
    return;
  }
  const auto names = request.subscribed ? maildir.subscriptions() : maildir.folders();
  const std::set<std::string> all(names.begin(), names.end());
  const std::string pattern = request.reference + request.pattern;
  std::set<std::string> superiors;
  for (const auto& name : names) {
    if (means(pattern, name)) {
      std::string attributes;
      if (!request.subscribed) {
        attributes = hasInferiors(all, name) ? "\\HasChildren" : "\\HasNoChildren";
        if (const auto use = specialUse(name); !use.empty()) attributes += ' ' + std::string(use);
      }
      tell(attributes, name);
    }
    // A "%" at the end also means the superiors that are no folders themselves.
    if (!pattern.ends_with('%')) continue;
    for (auto dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      const auto superior = name.substr(0, dot);
      if (!all.contains(superior) && means(pattern, superior)) superiors.insert(superior);
    }
  }
  for (const auto& name : superiors) tell(request.subscribed ? "\\Noselect" : "\\Noselect \\HasChildren", name);
}

std::optional<StatusRequest> parseStatus(Scanner& from) {
  static const std::set<std::string> known{"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE"};
  StatusRequest request;
  auto name = from.mailbox();
  if (!name || !from.space() || !from.take('(')) return {};
  request.name = std::move(*name);
  do {
    auto item = from.word();
    if (!known.contains(item) || request.items.size() >= mostStatusItems) return {};
    request.items.push_back(std::move(item));
  } while (from.space());
  if (!from.take(')') || !from.atEnd()) return {};
  return request;
}

bool status(std::string& out, const mail::Maildir& maildir, const StatusRequest& request) {
  if (!maildir.exists(request.name)) return false;
  mail::Mailbox mailbox(*maildir.path(request.name));
  mailbox.scan(false);
  std::uint64_t recent = 0, unseen = 0, deleted = 0, size = 0;
  for (const auto& message : mailbox.messages()) {
    recent += message.recent ? 1 : 0;
    unseen += message.flags.seen ? 0 : 1;
    deleted += message.flags.deleted ? 1 : 0;
    size += message.size;
  }
  out += "* STATUS ";
  appendAString(out, request.name);
  out += " (";
  for (const auto& item : request.items) {
    if (out.back() != '(') out += ' ';
    out += item + ' ';
    if (item == "MESSAGES") out += std::to_string(mailbox.messages().size());
    if (item == "RECENT") out += std::to_string(recent);
    if (item == "UIDNEXT") out += std::to_string(mailbox.uidNext());
    if (item == "UIDVALIDITY") out += std::to_string(mailbox.uidValidity());
    if (item == "UNSEEN") out += std::to_string(unseen);
    if (item == "DELETED") out += std::to_string(deleted);
    if (item == "SIZE") out += std::to_string(size);
  }
  out += ")\r\n";
  return true;
}

}  // namespace postern::imap
