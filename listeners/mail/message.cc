#include "listeners/mail/message.h"

#include <algorithm>
#include <charconv>

namespace postern::mail {
namespace {

constexpr std::string_view infoMark = ":2,";

std::string_view info(std::string_view file) {
  const auto at = file.rfind(infoMark);
  return at == std::string_view::npos ? std::string_view() : file.substr(at + infoMark.size());
}

bool has(std::string_view letters, char letter) {
  return letters.find(letter) != std::string_view::npos;
}

}  // namespace

std::string_view baseName(std::string_view file) {
  const auto slash = file.rfind('/');
  if (slash != std::string_view::npos) file.remove_prefix(slash + 1);
  return file.substr(0, file.rfind(infoMark));
}

Flags flagsOf(std::string_view file) {
  const auto letters = info(file);
  Flags flags;
  flags.draft = has(letters, 'D');
  flags.flagged = has(letters, 'F');
  flags.answered = has(letters, 'R');
  flags.seen = has(letters, 'S');
  flags.deleted = has(letters, 'T');
  return flags;
}

std::string fileWithFlags(std::string_view file, const Flags& flags) {
  std::string letters;
  for (const char letter : info(file)) {
    if (!has("DFRST", letter)) letters += letter;
  }
  if (flags.draft) letters += 'D';
  if (flags.flagged) letters += 'F';
  if (flags.answered) letters += 'R';
  if (flags.seen) letters += 'S';
  if (flags.deleted) letters += 'T';
  std::sort(letters.begin(), letters.end());  // Maildir wants ASCII order
  letters.erase(std::unique(letters.begin(), letters.end()), letters.end());
  return "cur/" + std::string(baseName(file)) + std::string(infoMark) + letters;
}

std::optional<std::uint64_t> sizeInName(std::string_view base) {
  const auto at = base.rfind(",W=");
  if (at == std::string_view::npos) return {};
  const auto digits = base.substr(at + 3);
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  if (error != std::errc() || (end != digits.data() + digits.size() && *end != ',')) return {};
  return size;
}

void CrlfCounter::count(std::string_view bytes) {
  size_ += bytes.size();
  for (std::size_t at = 0; (at = bytes.find('\n', at)) != std::string_view::npos; ++at) {
    const bool cr = at == 0 ? afterCr_ : bytes[at - 1] == '\r';
    if (!cr) ++size_;
  }
  if (!bytes.empty()) afterCr_ = bytes.back() == '\r';
}

std::string withCrlf(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size() + bytes.size() / 32);
  std::size_t from = 0;
  for (std::size_t at = 0; (at = bytes.find('\n', from)) != std::string_view::npos; from = at + 1) {
    result.append(bytes, from, at - from);
    if (result.empty() || result.back() != '\r') result += '\r';
    result += '\n';
  }
  result.append(bytes, from);
  return result;
}

}  // namespace postern::mail
