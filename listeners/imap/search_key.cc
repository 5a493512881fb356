#include "listeners/imap/search_key.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "listeners/imap/dates.h"
#include "listeners/imap/mime.h"

namespace postern::imap {
namespace {

using Kind = SearchKey::Kind;

SearchKey plain(Kind kind) {
  SearchKey key;
  key.kind = kind;
  return key;
}

SearchKey combined(Kind kind, SearchKey a, SearchKey b) {
  SearchKey key = plain(kind);
  key.keys.push_back(std::move(a));
  key.keys.push_back(std::move(b));
  return key;
}

SearchKey negated(SearchKey inner) {
  SearchKey key = plain(Kind::Not);
  key.keys.push_back(std::move(inner));
  return key;
}

class Parser {
 public:
  explicit Parser(Scanner& from) : from_(from) {}

  // Keys up to the end or the closing parenthesis, all of which must hold.
  std::optional<SearchKey> list(int depth) {
    SearchKey all = plain(Kind::And);
    do {
      auto key = one(depth);
      if (!key) return {};
      all.keys.push_back(std::move(*key));
    } while (from_.space());
    std::stable_sort(all.keys.begin(), all.keys.end(),
                     [](const SearchKey& a, const SearchKey& b) { return a.cost() < b.cost(); });
    if (all.keys.size() == 1) {
      auto only = std::move(all.keys.front());
      return only;
    }
    return all;
  }

 private:
  static constexpr int mostKeys = 1000;

  std::optional<SearchKey> one(int depth) {
    if (depth <= 0 || --left_ < 0) return {};
    if (from_.take('(')) {
      auto inner = list(depth - 1);
      if (!inner || !from_.take(')')) return {};
      return inner;
    }
    const char next = from_.peek();
    if (next == '*' || (next >= '0' && next <= '9')) return set(Kind::Sequence);
    const std::string word = from_.word();
    if (word == "NOT") {
      if (!from_.space()) return {};
      auto inner = one(depth - 1);
      if (!inner) return {};
      return negated(std::move(*inner));
    }
    if (word == "OR") return either(depth);
    if (word == "NEW") return combined(Kind::And, plain(Kind::Recent), negated(plain(Kind::Seen)));
    if (word == "KEYWORD" || word == "UNKEYWORD") {
      if (!from_.space() || from_.atom().empty()) return {};
      return plain(word == "KEYWORD" ? Kind::Nothing : Kind::All);
    }
    if (auto key = flag(word)) return key;
    if (!from_.space()) return {};
    return withArgument(word);
  }

  std::optional<SearchKey> either(int depth) {
    if (!from_.space()) return {};
    auto a = one(depth - 1);
    if (!a || !from_.space()) return {};
    auto b = one(depth - 1);
    if (!b) return {};
    if (b->cost() < a->cost()) std::swap(*a, *b);
    return combined(Kind::Or, std::move(*a), std::move(*b));
  }

  static std::optional<SearchKey> flag(const std::string& word) {
    static const std::map<std::string, std::pair<Kind, bool>> flags{
        {"ALL", {Kind::All, true}},
        {"SEEN", {Kind::Seen, true}},
        {"UNSEEN", {Kind::Seen, false}},
        {"ANSWERED", {Kind::Answered, true}},
        {"UNANSWERED", {Kind::Answered, false}},
        {"FLAGGED", {Kind::Flagged, true}},
        {"UNFLAGGED", {Kind::Flagged, false}},
        {"DELETED", {Kind::Deleted, true}},
        {"UNDELETED", {Kind::Deleted, false}},
        {"DRAFT", {Kind::Draft, true}},
        {"UNDRAFT", {Kind::Draft, false}},
        {"RECENT", {Kind::Recent, true}},
        {"OLD", {Kind::Recent, false}},
    };
    const auto at = flags.find(word);
    if (at == flags.end()) return {};
    const auto& [kind, wanted] = at->second;
    return wanted ? plain(kind) : negated(plain(kind));
  }

  std::optional<SearchKey> withArgument(const std::string& word) {
    static const std::map<std::string, Kind> dates{
        {"BEFORE", Kind::Before},         {"ON", Kind::On},         {"SINCE", Kind::Since},
        {"SENTBEFORE", Kind::SentBefore}, {"SENTON", Kind::SentOn}, {"SENTSINCE", Kind::SentSince},
    };
    if (const auto at = dates.find(word); at != dates.end()) return dated(at->second);
    if (word == "UID") return set(Kind::Uid);
    if (word == "LARGER" || word == "SMALLER") {
      const auto size = from_.number();
      if (!size) return {};
      SearchKey key = plain(word == "LARGER" ? Kind::Larger : Kind::Smaller);
      key.size = *size;
      return key;
    }
    if (word == "BODY") return withText(plain(Kind::Body));
    if (word == "TEXT") return withText(plain(Kind::Text));
    SearchKey key = plain(Kind::Header);
    if (word == "HEADER") {
      auto field = from_.astring();
      if (!field || !from_.space()) return {};
      key.field = std::move(*field);
    } else if (word == "FROM" || word == "TO" || word == "CC" || word == "BCC" || word == "SUBJECT") {
      key.field = word;
    } else {
      return {};
    }
    return withText(std::move(key));
  }

  std::optional<SearchKey> withText(SearchKey key) {
    const auto text = from_.astring();
    if (!text) return {};
    key.text = caseFolded(*text);
    return key;
  }

  std::optional<SearchKey> dated(Kind kind) {
    const auto text = from_.astring();
    const auto date = text ? parseDate(*text) : std::nullopt;
    if (!date) return {};
    SearchKey key = plain(kind);
    key.date = *date;
    return key;
  }

  std::optional<SearchKey> set(Kind kind) {
    auto set = SequenceSet::parse(from_);
    if (!set) return {};
    SearchKey key = plain(kind);
    key.set = std::move(*set);
    return key;
  }

  Scanner& from_;
  int left_ = mostKeys;
};

constexpr int deepestSearch = 50;

}  // namespace

int SearchKey::cost() const {
  switch (kind) {
    case Kind::And:
    case Kind::Or:
    case Kind::Not: {
      int most = 0;
      for (const auto& key : keys) most = std::max(most, key.cost());
      return most;
    }
    case Kind::SentBefore:
    case Kind::SentOn:
    case Kind::SentSince:
    case Kind::Header: return 1;
    case Kind::Body:
    case Kind::Text: return 2;
    case Kind::All:
    case Kind::Nothing:
    case Kind::Seen:
    case Kind::Answered:
    case Kind::Flagged:
    case Kind::Deleted:
    case Kind::Draft:
    case Kind::Recent:
    case Kind::Sequence:
    case Kind::Uid:
    case Kind::Before:
    case Kind::On:
    case Kind::Since:
    case Kind::Larger:
    case Kind::Smaller: return 0;
  }
  return 0;
}

void SearchKey::prepare(std::uint32_t lastSequence, std::uint32_t lastUid) {
  if (kind == Kind::Sequence || kind == Kind::Uid) ranges = set.ranges(kind == Kind::Uid ? lastUid : lastSequence);
  for (auto& key : keys) key.prepare(lastSequence, lastUid);
}

SearchProgram parseSearch(Scanner& from) {
  SearchProgram program;
  program.problem = SearchProgram::Problem::Syntax;
  Scanner ahead = from;
  if (ahead.word() == "CHARSET") {
    if (!ahead.space()) return program;
    const auto charset = ahead.astring();
    if (!charset || !ahead.space()) return program;
    if (!equalsIgnoringCase(*charset, "UTF-8") && !equalsIgnoringCase(*charset, "US-ASCII")) {
      program.problem = SearchProgram::Problem::Charset;
      return program;
    }
    from = ahead;
  }
  auto key = Parser(from).list(deepestSearch);
  if (!key || !from.atEnd()) return program;
  program.key = std::move(*key);
  program.problem = SearchProgram::Problem::None;
  return program;
}

}  // namespace postern::imap
