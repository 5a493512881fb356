#include "listeners/imap/command_reader.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace postern::imap {
namespace {

void wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

}  // namespace

void CommandReader::add(std::string_view bytes) {
  compact();
  input_ += bytes;
}

void CommandReader::compact() {
  if (at_ == 0) return;
  const std::size_t left = input_.size() - at_;
  std::copy(input_.begin() + static_cast<std::ptrdiff_t>(at_), input_.end(), input_.begin());
  // What was used may have been a password.
  OPENSSL_cleanse(input_.data() + left, input_.size() - left);
  input_.resize(left);
  if (left == 0 && input_.capacity() > longestCommand) input_.shrink_to_fit();
  scanned_ -= std::min(scanned_, at_);
  at_ = 0;
}

std::optional<std::string> CommandReader::takeLine() {
  scanned_ = std::max(scanned_, at_);
  const std::size_t end = input_.find('\n', scanned_);
  if (end == std::string::npos) {
    scanned_ = input_.size();
    if (waiting() <= longestCommand) return {};
    tooLong_ = true;
    return std::string();
  }
  std::string_view line(input_.data() + at_, end - at_);
  if (line.ends_with('\r')) line.remove_suffix(1);
  at_ = scanned_ = end + 1;
  if (line.size() > longestCommand) {
    tooLong_ = true;
    return std::string();
  }
  return std::string(line);
}

std::string_view CommandReader::takeBytes(std::size_t most) {
  const std::string_view bytes(input_.data() + at_, std::min(most, waiting()));
  at_ += bytes.size();
  return bytes;
}

CommandReader::Found CommandReader::next() {
  if (literalLeft_ > 0) {
    const auto bytes = takeBytes(literalLeft_);
    command_ += bytes;
    literalLeft_ -= bytes.size();
    if (literalLeft_ > 0) return Found::Nothing;
  }
  auto line = takeLine();
  if (!line) return Found::Nothing;
  command_ += *line;
  wipe(*line);
  if (tooLong_ || command_.size() > longestCommand + literalsTaken_) return Found::TooLong;
  const std::size_t brace = command_.rfind('{');
  if (brace != std::string::npos && command_.back() == '}') {
    Scanner end(std::string_view(command_).substr(brace));
    if (const auto literal = end.openLiteral()) {
      literal_ = *literal;
      return Found::Literal;
    }
  }
  return Found::Command;
}

bool CommandReader::acceptLiteral() {
  if (literal_.bytes > largestLiteral - literalsTaken_) return false;
  literalLeft_ = static_cast<std::size_t>(literal_.bytes);
  literalsTaken_ += literalLeft_;
  command_ += "\r\n";
  return true;
}

void CommandReader::drop() {
  wipe(command_);
  literalLeft_ = literalsTaken_ = 0;
}

void CommandReader::clear() {
  drop();
  wipe(input_);
  at_ = scanned_ = 0;
  tooLong_ = false;
}

}  // namespace postern::imap
