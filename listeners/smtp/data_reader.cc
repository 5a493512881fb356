#include "listeners/smtp/data_reader.h"

#include <algorithm>

namespace postern::smtp {

std::size_t DataReader::take(std::string_view bytes, std::string& content) {
  const auto before = content.size();
  std::size_t at = 0;
  while (at < bytes.size() && state_ != State::Ended) {
    if (state_ == State::Middle) {  // most of a message
      const auto end = std::min(bytes.find_first_of("\r\n", at), bytes.size());
      content.append(bytes, at, end - at);
      at = end;
      if (at == bytes.size()) break;
    }
    const char c = bytes[at++];
    switch (state_) {
      case State::LineStart:
        if (c == '.') {
          state_ = State::Dot;
          break;
        }
        [[fallthrough]];
      case State::Middle:
        if (c == '\r') {
          state_ = State::Cr;
        } else {
          spoiled_ = spoiled_ || c == '\n';
          content += c;
          state_ = State::Middle;  // behind a bare LF too: it begins no line
        }
        break;
      case State::Dot:
        if (c == '\r') {
          state_ = State::DotCr;
        } else {
          spoiled_ = spoiled_ || c == '\n';
          content += c;
          state_ = State::Middle;
        }
        break;
      case State::DotCr:
        if (c == '\n') {
          state_ = State::Ended;
          break;
        }
        [[fallthrough]];
      case State::Cr:
        if (c == '\n') {
          content += "\r\n";
          state_ = State::LineStart;
        } else {
          spoiled_ = true;
          content += '\r';
          if (c != '\r') content += c;
          state_ = c == '\r' ? State::Cr : State::Middle;
        }
        break;
      case State::Ended: break;
    }
  }
  size_ += content.size() - before;
  taken_ += at;
  return at;
}

}  // namespace postern::smtp
