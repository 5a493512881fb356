#include "server/doctor_caa.h"

#include <algorithm>
#include <cstdlib>

#include "base/text.h"

namespace postern::server {
namespace {

struct Property {
  bool critical = false;
  std::string tag, value;
};

Property parse(const std::string& record) {
  const auto first = record.find(' '), second = record.find(' ', first + 1);
  if (first == std::string::npos || second == std::string::npos) return {};
  return {(std::atoi(record.c_str()) & 128) != 0, lower(record.substr(first + 1, second - first - 1)),
          record.substr(second + 1)};
}

// Of those that RFC 8659 and its registry know, so that a critical one is no reason to refuse.
bool known(const std::string& tag) {
  static const std::vector<std::string> tags{"issue",    "issuewild",    "iodef",       "issuemail",
                                             "issuevmc", "contactemail", "contactphone"};
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

// "ca.example.net; accounturi=https://...; validationmethods=dns-01"
struct Permission {
  std::string domain, accountUri, methods;
};

Permission permission(const std::string& value) {
  Permission result;
  auto parts = split(value, ';');
  result.domain = lower(trimmed(parts.front()));
  for (auto part = parts.begin() + 1; part != parts.end(); ++part) {
    const auto equals = part->find('=');
    if (equals == std::string::npos) continue;
    const std::string name = lower(trimmed(part->substr(0, equals))), text(trimmed(part->substr(equals + 1)));
    if (name == "accounturi") result.accountUri = text;
    if (name == "validationmethods") result.methods = text;
  }
  return result;
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// Why this permission, which names the CA, is none for us; "" when it is one.
std::string parameterAgainst(const Permission& given, const CaaSubject& subject) {
  if (!given.accountUri.empty() && !subject.accountUrl.empty() && given.accountUri != subject.accountUrl) {
    return "only the account " + given.accountUri + " may order, and ours is " + subject.accountUrl;
  }
  if (given.methods.empty()) return "";
  auto methods = split(given.methods, ',');
  for (auto& method : methods) method = lower(trimmed(method));
  const bool one = std::any_of(subject.challenges.begin(), subject.challenges.end(),
                               [&](const std::string& type) { return contains(methods, type); });
  return one ? ""
             : "only " + joined(methods, ", ") + " may validate, and the provider's challenge is " +
                   joined(subject.challenges, ", ");
}

}  // namespace

CaaRuling caaRuling(const std::vector<std::string>& records, bool wildcard, const CaaSubject& subject) {
  std::vector<std::string> issue, issueWild;
  for (const auto& record : records) {
    const Property property = parse(record);
    if (property.critical && !known(property.tag)) {
      return {CaaRuling::Kind::Forbidden, "the property " + property.tag + " is marked critical, and no CA knows it",
              property.tag};
    }
    if (property.tag == "issue") issue.push_back(property.value);
    if (property.tag == "issuewild") issueWild.push_back(property.value);
  }
  const auto& relevant = wildcard && !issueWild.empty() ? issueWild : issue;
  if (relevant.empty()) return {};
  std::vector<std::string> allowed, against;
  for (const auto& value : relevant) {
    const Permission given = permission(value);
    if (given.domain.empty()) continue;
    allowed.push_back(given.domain);
    if (!subject.identities.empty() && !contains(subject.identities, given.domain)) continue;
    const std::string why = parameterAgainst(given, subject);
    if (why.empty() && !subject.identities.empty()) return {};
    if (!why.empty()) against.push_back(why);
  }
  if (allowed.empty()) return {CaaRuling::Kind::Forbidden, "no CA may issue"};
  if (subject.identities.empty()) {
    return against.size() == allowed.size() ? CaaRuling{CaaRuling::Kind::Forbidden, joined(against, "; ")}
                                            : CaaRuling{CaaRuling::Kind::Unknown, joined(allowed, ", ")};
  }
  if (!against.empty()) return {CaaRuling::Kind::Forbidden, joined(against, "; ")};
  return {CaaRuling::Kind::Forbidden,
          "only " + joined(allowed, ", ") + " may issue, and this CA goes by " + joined(subject.identities, ", ")};
}

}  // namespace postern::server
