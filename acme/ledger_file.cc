#include "acme/ledger_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "acme/cache_file.h"
#include "base/atomic_file.h"
#include "base/fault_point.h"
#include "base/json.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t most = 256 << 20;  // a larger file is not ours
constexpr std::size_t small = 64 << 10;  // below this nobody minds what it says twice
constexpr std::size_t grownBy = 4;       // times what it needs to say: then it is written anew

struct Name {
  LedgerEntry::Kind kind;
  std::string_view text;
};
constexpr Name kinds[] = {{LedgerEntry::Kind::Account, "account"},
                          {LedgerEntry::Kind::Order, "order"},
                          {LedgerEntry::Kind::Issuance, "issuance"},
                          {LedgerEntry::Kind::FailedValidation, "failed-validation"}};

std::string_view textOf(LedgerEntry::Kind kind) {
  for (const auto& name : kinds) {
    if (name.kind == kind) return name.text;
  }
  return "";
}

std::string_view textOf(OrderKind kind) {
  switch (kind) {
    case OrderKind::First: return "first";
    case OrderKind::Renewal: return "renewal";
    case OrderKind::Ari: return "ari";
  }
  return "";
}

OrderKind orderKind(std::string_view text) {
  if (text == "renewal") return OrderKind::Renewal;
  return text == "ari" ? OrderKind::Ari : OrderKind::First;
}

// To the second, which is nothing to a limit; what one waits for is rounded up.
std::string upwards(Time time) {
  return rfc3339(time + 999ms);
}

std::string lineOf(const LedgerEntry& entry) {
  Json line;
  line["kind"] = textOf(entry.kind);
  line["at"] = rfc3339(entry.at);
  if (!entry.names.empty()) line["names"] = Json::strings(entry.names);
  if (entry.kind == LedgerEntry::Kind::Order || entry.kind == LedgerEntry::Kind::Issuance) {
    line["order"] = textOf(entry.order);
  }
  if (entry.elsewhere) line["elsewhere"] = true;
  return line.dump() + "\n";
}

std::string lineOf(const Ledger::Told& told) {
  Json line;
  line["kind"] = "told";
  line["until"] = upwards(told.until);
  line["names"] = Json::strings(told.names);
  return line.dump() + "\n";
}

std::string lineOf(const Ledger::Bucket& bucket) {
  Json line;
  line["kind"] = "bucket";
  line["limit"] = bucket.limit;
  line["of"] = bucket.subject;
  line["since"] = rfc3339(bucket.since);
  line["full"] = upwards(bucket.fullAt);
  return line.dump() + "\n";
}

std::string lineOf(const Ledger::Issued& issued) {
  Json line;
  line["kind"] = "issued";
  line["set"] = issued.set;
  line["at"] = rfc3339(issued.at);
  return line.dump() + "\n";
}

std::string condensed(const Ledger& ledger) {
  std::string text;
  for (const auto& bucket : ledger.buckets()) text += lineOf(bucket);
  for (const auto& issued : ledger.issued()) text += lineOf(issued);
  for (const auto& told : ledger.toldUntil()) text += lineOf(told);
  return text;
}

// False: it is damaged. Kinds of a later version are passed over.
bool apply(std::string_view text, Ledger& ledger) {
  const auto line = Json::parse(text);
  if (!line || !line->isObject() || !(*line)["kind"].isString()) return false;
  const std::string kind = (*line)["kind"].string();
  if (kind == "told") {
    const auto until = parseRfc3339((*line)["until"].string());
    if (until) ledger.restore(Ledger::Told{*until, (*line)["names"].stringList()});
    return until.has_value();
  }
  if (kind == "bucket") {
    const auto since = parseRfc3339((*line)["since"].string()), full = parseRfc3339((*line)["full"].string());
    if (!since || !full) return false;
    ledger.restore(Ledger::Bucket{(*line)["limit"].string(), (*line)["of"].string(), *since, *full});
    return true;
  }
  const auto at = parseRfc3339((*line)["at"].string());
  if (kind == "issued") {
    if (at) ledger.restore(Ledger::Issued{(*line)["set"].string(), *at});
    return at.has_value();
  }
  for (const auto& name : kinds) {
    if (name.text != kind) continue;
    // As it was then: what the limits have forgotten since is dropped with the first question.
    if (at) {
      ledger.record({name.kind, *at, (*line)["names"].stringList(), orderKind((*line)["order"].string()),
                     (*line)["elsewhere"].boolean()},
                    *at);
    }
    return at.has_value();
  }
  return true;
}

[[noreturn]] void failed(std::string_view doing, const fs::path& path, int error) {
  throw SystemError(std::string("cannot ") + std::string(doing) + " " + path.string(), error);
}

// Appends and syncs. What fails half-way leaves a line torn.
void appendTo(const fs::path& path, std::string_view text) {
  const int file = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) failed("open", path, errno);
  int error = 0;
  while (error == 0 && !text.empty()) {
    const ssize_t written = POSTERN_STEP_FAILS("append") ? -1 : write(file, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (error == 0 && (POSTERN_STEP_FAILS("sync") || fsync(file) != 0)) error = errno;
  close(file);
  if (error != 0) failed("append to", path, error);
}

}  // namespace

LedgerFile::LedgerFile(const fs::path& directoryFolder, std::string directoryUrl, Log& log)
    : path_(directoryFolder / "ledger.jsonl"), directory_(std::move(directoryUrl)), log_(log), ledger_(directory_) {
  load(Time{});
}

void LedgerFile::load(Time now) const {
  std::optional<std::string> text;
  try {
    text = readFile(path_, most);
  } catch (const SystemError& error) {
    if (passing(error)) {
      log_.warn("acme.cache.unreadable", {{"path", path_.string()}, {"error", error.what()}});
      return;
    }
    setAside(path_, error.what(), log_);
  }
  loaded_ = true;
  if (!text) return;
  Ledger kept(directory_);
  std::size_t damaged = 0;
  std::string_view rest = *text;
  for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    const std::string_view line = rest.substr(0, end);
    if (!line.empty() && !apply(line, kept)) ++damaged;
    rest.remove_prefix(end + 1);
  }
  size_ = text->size();
  condensed_ = condensed(kept).size();
  mustWriteAnew_ = !rest.empty() || damaged > 0;  // a torn line would swallow the next one
  if (noted_) {
    // What happened while it could not be read comes after all that is in it.
    kept.append(ledger_, now);
    behind_ = true;
  }
  ledger_ = std::move(kept);
  if (damaged == 0) return;
  setAside(path_, std::to_string(damaged) + " of its lines cannot be read", log_);
  try {
    writeAnew(condensed(ledger_));
  } catch (const Error& error) {
    log_.warn("acme.cache.unwritable", {{"path", path_.string()}, {"error", error.problem.detail}});
  }
}

const Ledger& LedgerFile::ready(Time now) const {
  if (!loaded_) load(now);
  return ledger_;
}

void LedgerFile::record(const LedgerEntry& entry, Time now) {
  note(entry, now);
  flush();
}

void LedgerFile::note(const LedgerEntry& entry, Time now) {
  const std::scoped_lock lock(mutex_);
  ready(now);
  ledger_.record(entry, now);
  keep(lineOf(entry));
}

void LedgerFile::told(Time until, std::vector<std::string> names, Time now) {
  {
    const std::scoped_lock lock(mutex_);
    ready(now);
    keep(lineOf(ledger_.told(until, std::move(names), now)));
  }
  flush();
}

void LedgerFile::keep(const std::string& line) {
  noted_ = true;
  if (behind_) return;
  unwritten_ += line;
  // Much happens elsewhere and nothing here.
  if (unwritten_.size() <= small) return;
  behind_ = true;
  unwritten_ = {};
}

void LedgerFile::flush() {
  const std::scoped_lock writing(writing_);
  std::string lines;
  std::optional<std::string> whole;
  {
    const std::scoped_lock lock(mutex_);
    if (!loaded_) throwStorageError("cannot read " + path_.string());
    lines = std::exchange(unwritten_, {});
    if (std::exchange(behind_, false)) mustWriteAnew_ = true;
    if (mustWriteAnew_ || size_ + lines.size() > grownBy * std::max(condensed_, small)) whole = condensed(ledger_);
  }
  // Questions need not wait for the disk. What is read below was settled when the file was read.
  if (whole) {
    writeAnew(*whole);
  } else if (!lines.empty()) {  // else another one's flush() has taken them along
    append(lines);
  }
}

bool LedgerFile::acquaint(const std::vector<std::shared_ptr<LedgerFile>>& all, Time now) {
  std::vector<std::unique_lock<std::mutex>> locks;
  locks.reserve(all.size());
  for (const auto& file : all) locks.emplace_back(file->mutex_);
  if (all.size() < 2) return false;
  Ledger together = all.front()->ready(now);
  bool addsUp = false;
  for (auto file = std::next(all.begin()); file != all.end(); ++file) {
    addsUp = together.join((*file)->ready(now), now) || addsUp;
  }
  for (const auto& file : all) {
    if (!file->ledger_.adopt(together)) continue;
    file->behind_ = true;
    file->unwritten_ = {};
  }
  return addsUp;
}

void LedgerFile::append(const std::string& lines) {
  storing([&] {
    try {
      if (size_ == 0) createDirectories(path_.parent_path(), 0700);
      appendTo(path_, lines);
      if (size_ == 0) fsyncDirectory(path_.parent_path());
    } catch (const SystemError&) {
      mustWriteAnew_ = true;
      throw;
    }
  });
  size_ += lines.size();
}

void LedgerFile::writeAnew(const std::string& text) const {
  mustWriteAnew_ = true;  // until it is there
  writeCacheFile(path_, text);
  mustWriteAnew_ = false;
  size_ = condensed_ = text.size();
}

Time LedgerFile::earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const {
  const std::scoped_lock lock(mutex_);
  return ready(now).earliest(names, kind, now);
}

Time LedgerFile::earliestAccount(Time now) const {
  const std::scoped_lock lock(mutex_);
  return ready(now).earliestAccount(now);
}

std::vector<LimitState> LedgerFile::left(Time now) const {
  const std::scoped_lock lock(mutex_);
  return ready(now).left(now);
}

bool LedgerFile::concernsEverybody(LedgerEntry::Kind kind) const {
  const std::scoped_lock lock(mutex_);
  return ledger_.concernsEverybody(kind);
}

Ledger LedgerFile::about(const std::vector<std::string>& names, Time now) const {
  const std::scoped_lock lock(mutex_);
  return ready(now).about(names);
}

bool LedgerFile::issuedBefore(const std::vector<std::string>& names, Time now) const {
  const std::scoped_lock lock(mutex_);
  return ready(now).issuedBefore(names, now);
}

OrderKind LedgerFile::kindOf(const std::vector<std::string>& names, Time now) const {
  return issuedBefore(names, now) ? OrderKind::Renewal : OrderKind::First;
}

}  // namespace postern::acme
