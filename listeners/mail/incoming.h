// Incoming: a message on its way in. Written to tmp/ piece by piece, there for good after commit(), gone without it.
//
// One thread at a time; every call blocks on the disk: on a worker only. Failures throw SystemError, after which the
// message is as good as never begun. On disk lines end with LF, as other Maildir programs expect: a CRLF is written as
// LF.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "listeners/mail/message.h"

namespace postern::mail {

// A file name unique among all programs that deliver here: time, process, count, chance and host.
std::string uniqueName();

class Incoming {
 public:
  explicit Incoming(std::filesystem::path folder);  // of the mailbox; made where missing
  ~Incoming();
  Incoming(Incoming&&) noexcept;
  Incoming& operator=(Incoming&&) = delete;

  void append(std::string_view bytes);
  // fsync, rename into new/ (or cur/ where flags are given), fsync of the folder.
  void commit(std::optional<Flags> flags = {}, std::optional<std::chrono::sys_seconds> internalDate = {});

  // The same in two steps, for a message with several recipients: nothing is visible before the first publish().
  void seal();                                    // writes out what is left and fsyncs; no append() from here on
  Incoming copyTo(std::filesystem::path folder);  // the sealed message in another mailbox: a link where possible
  void publish(std::optional<Flags> flags = {}, std::optional<std::chrono::sys_seconds> internalDate = {});
  void withdraw() noexcept;  // takes a published message back, as far as the disk lets it

  // The message's base name, as MessageInfo::file has it (baseName()), once it is sealed: finds the UID after a scan.
  const std::string& name() const { return name_; }

 private:
  void write(std::string_view bytes);
  void copyFrom(const std::filesystem::path& other);

  std::filesystem::path folder_, temporary_, published_;
  std::string unique_, name_;
  int descriptor_ = -1;
  bool pendingCr_ = false, sealed_ = false;
  std::uint64_t bytes_ = 0;
  CrlfCounter counter_;
};

}  // namespace postern::mail
