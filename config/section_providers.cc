// What providers mean together: fallback and staging name other sections, and a name must suit every CA that may be
// asked to certify it.
#include <algorithm>
#include <filesystem>
#include <set>

#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

bool offers(const acme::Provider& provider, acme::ChallengeType type) {
  return std::find(provider.challenge.begin(), provider.challenge.end(), type) != provider.challenge.end();
}

std::vector<std::string> namesOf(const Settings& settings) {
  std::vector<std::string> names;
  for (const acme::Provider& provider : settings.providers) names.push_back(provider.name);
  return names;
}

// The way from one provider over fallbacks to another, both included; empty when there is none.
std::vector<std::string> wayTo(const Settings& settings, const std::string& from, const std::string& to,
                               std::set<std::string>& seen) {
  if (from == to) return {from};
  const acme::Provider* provider = providerOf(settings, from);
  if (!provider || !seen.insert(from).second) return {};
  for (const std::string& next : provider->fallback) {
    std::vector<std::string> way = wayTo(settings, next, to, seen);
    if (way.empty()) continue;
    way.insert(way.begin(), from);
    return way;
  }
  return {};
}

std::filesystem::path cacheOf(const acme::Provider& provider) {
  const auto path = std::filesystem::path(provider.cache).lexically_normal();
  return path.filename().empty() ? path.parent_path() : path;  // "/var/lib/postern/"
}

bool sharesAccount(const acme::Provider& a, const acme::Provider& b) {
  return a.directory == b.directory && cacheOf(a) == cacheOf(b);
}

// The keys that belong to the account and its orders, and are set otherwise.
std::vector<std::string> differences(const acme::Provider& a, const acme::Provider& b) {
  std::vector<std::string> keys;
  const auto compare = [&](const char* key, bool same) {
    if (!same) keys.emplace_back(key);
  };
  compare("contact", a.contact == b.contact);
  compare("ca-file", a.caFile == b.caFile);
  compare("challenge", a.challenge == b.challenge);
  compare("dns", a.dns == b.dns);
  compare("profile", a.profile == b.profile);
  compare("preferred-chain", a.preferredChain == b.preferredChain);
  compare("eab", a.externalAccount == b.externalAccount);
  compare("reuse-key", a.reuseKey == b.reuseKey);
  compare("orders", a.orders == b.orders);
  return keys;
}

void checkFallback(const Reader& reader, const Settings& settings, const acme::Provider& provider) {
  std::set<std::string> named;
  for (const Found& item : reader.items(reader.find({"acme", provider.name, "fallback"}))) {
    if (!item.node->isText()) continue;
    const std::string& name = item.node->text;
    if (name == provider.name) {
      reader.error(item, "a provider cannot be its own fallback", "name another section");
    } else if (!providerOf(settings, name)) {
      const std::string near = item.node->hidden ? "" : nearest(name, namesOf(settings));
      reader.error(item, "there is no section [acme.<name>] of this name",
                   near.empty() || near == provider.name ? "write one, or name one that is there"
                                                         : "did you mean " + near + "?");
    } else if (!named.insert(name).second) {
      reader.error(item, "named twice", "name each fallback once, in order of preference");
    } else {
      if (sharesAccount(*providerOf(settings, name), provider)) {
        reader.warning(item, "has this section's directory and cache: where one cannot issue, neither can the other",
                       "name a section with another directory");
      }
      std::set<std::string> seen;
      const std::vector<std::string> way = wayTo(settings, name, provider.name, seen);
      // Told once, at the first of the sections that go in a circle.
      if (!way.empty() && *std::min_element(way.begin(), way.end()) == provider.name) {
        reader.error(item, "falls back in a circle: " + provider.name + " -> " + joined(way, " -> "),
                     "take one of them out");
      }
    }
  }
}

void checkStaging(const Reader& reader, const Settings& settings, const acme::Provider& provider) {
  const Found staging = reader.find({"acme", provider.name, "staging"});
  if (!staging || !staging.node->isText()) return;
  const std::string& text = staging.node->text;
  if (text.find("://") != std::string::npos) {
    if (const auto url = toHttpsUrl(*staging.node); !url) reader.error(staging, url.problem, url.remedy);
    if (text == provider.directory) reader.error(staging, "this is the section's own directory", "name another one");
  } else if (text == provider.name) {
    reader.error(staging, "a provider cannot be its own staging", "name another section, or a directory's https URL");
  } else if (!providerOf(settings, text)) {
    const std::string near = staging.node->hidden ? "" : nearest(text, namesOf(settings));
    reader.error(staging, "expected the name of an [acme.<name>] section or an https URL",
                 near.empty() || near == provider.name ? "write the section, or a directory's URL"
                                                       : "did you mean " + near + "?");
  }
}

struct Refusal {
  std::string problem, remedy;  // no problem: the name can be certified
};

// What a CA would say to one name; `provider` null: a section that does not exist.
Refusal refusalOf(const std::string& name, const acme::Provider* provider) {
  if (isIpLiteral(name)) {
    if (!provider || offers(*provider, acme::ChallengeType::TlsAlpn01) ||
        offers(*provider, acme::ChallengeType::Http01))
      return {};
    return {"a CA certifies no IP address by dns-01 (RFC 8738 section 7)",
            "add \"tls-alpn-01\" or \"http-01\" to challenge, or use a host name"};
  }
  if (isWildcard(name) && (!provider || !offers(*provider, acme::ChallengeType::Dns01))) {
    return {"a CA certifies a wildcard by dns-01 alone, which challenge does not name",
            "add \"dns-01\" to challenge, list the names, or use a certificate of your own"};
  }
  const bool local = name == "localhost" || name.ends_with(".localhost");
  const bool single = name.find('.') == std::string::npos;
  if ((local || single) && (!provider || provider->caFile.empty())) {
    return {local ? "no public CA certifies localhost" : "no public CA certifies a name without a dot",
            "use a full name such as mail.example.org; a CA of your own has a ca-file"};
  }
  return {};
}

}  // namespace

const acme::Provider* providerOf(const Settings& settings, const std::string& name) {
  const auto at = std::find_if(settings.providers.begin(), settings.providers.end(),
                               [&name](const acme::Provider& provider) { return provider.name == name; });
  return at == settings.providers.end() ? nullptr : &*at;
}

void checkOtherProviders(const Reader& reader, const Settings& settings, const acme::Provider& provider) {
  if (reader.isIncomplete()) return;  // what is missing may stand in the file that could not be read
  checkFallback(reader, settings, provider);
  checkStaging(reader, settings, provider);
}

void checkSharedProviders(const Reader& reader, const Settings& settings) {
  for (std::size_t i = 0; i < settings.providers.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      const acme::Provider &one = settings.providers[i], &first = settings.providers[k];
      const std::vector<std::string> keys =
          sharesAccount(one, first) ? differences(one, first) : std::vector<std::string>{};
      if (keys.empty()) continue;
      const KeyPath section{"acme", one.name};
      Node place;
      place.place = reader.placeOf(section);
      reader.report().warning(
          section, place,
          "has the directory and the cache of " + dotted({"acme", first.name}) +
              ", so they are one, and what that one says holds for both; these keys differ: " + joined(keys, ", "),
          "give it a cache of its own, or set the keys alike");
      break;
    }
  }
}

void checkAcmeName(const Reader& reader, const Settings& settings, const Found& found, const acme::Provider* provider) {
  const auto name = toHostname(*found.node);
  if (!name) return;
  if (const Refusal refusal = refusalOf(*name.value, provider); !refusal.problem.empty()) {
    reader.error(found, refusal.problem, refusal.remedy);
    return;
  }
  if (!provider) return;
  for (const std::string& other : provider->fallback) {
    const acme::Provider* fallback = providerOf(settings, other);
    if (!fallback || fallback == provider) continue;
    const Refusal refusal = refusalOf(*name.value, fallback);
    if (refusal.problem.empty()) continue;
    reader.error(found,
                 dotted({"acme", fallback->name}) + ", the fallback of " + dotted({"acme", provider->name}) +
                     ", cannot certify it: " + refusal.problem,
                 refusal.remedy + ", or take " + fallback->name + " out of the fallback");
  }
}

void checkAcmeNamesTogether(const Reader& reader, const std::vector<Found>& names) {
  const auto kind = [](const Found& found, bool (*is)(const std::string&)) {
    const auto name = toHostname(*found.node);
    return name && is(*name.value);
  };
  const bool wildcard = std::any_of(names.begin(), names.end(), [&](const Found& name) {
    return kind(name, [](const std::string& text) { return isWildcard(text); });
  });
  if (!wildcard) return;
  for (const Found& name : names) {
    if (!kind(name, isIpLiteral)) continue;
    reader.error(
        name, "no challenge validates an IP address and a wildcard, and one order is validated by one challenge type",
        "give the address a certificate of its own");
  }
}

}  // namespace postern::config
