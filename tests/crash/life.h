// Life: one life of a server's ACME side in a process of its own, from its start on a cache to a served certificate, a
// fault, or the end of its patience. The CA stays with the parent, which has one thread: it forks.
#pragma once

#include <filesystem>
#include <string>

#include "base/json.h"
#include "tests/crash/faults.h"
#include "tests/support/fake_ca.h"

namespace postern::test {

// What it lives for, once.
enum class Deed {
  Obtain,   // a certificate that is valid at the end
  Attempt,  // what is due now, however it ends
  RollOver,
  Deactivate,  // the account; and no order
  Revoke       // the certificate, and then obtains another
};

struct Life {
  std::filesystem::path cache;
  Time begins{};
  Fault fault;
  bool reuseKey = false;
  Deed deed = Deed::Obtain;
  std::string successorOf;    // the certificate at the end is not of this serial ("": any)
  bool awaitsWindow = false;  // it ends when the CA has told, too, when that certificate is to be renewed
};

struct Ending {
  bool killed = false;       // by its fault
  int status = -1;           // of exit; 0: it got what it lived for
  std::string serial;        // of the certificate that was served in the end
  std::string account;       // URL
  bool servedAlways = true;  // the predecessor while there was no successor
  int points = 0;            // of storage that it came through
  Time ends{};
  std::string words;  // what it said when it did not get there
};

// Forks, serves the CA to the child until that has ended, and tells how it did. A child that needs longer than a minute
// is ended and says so.
Ending live(const Life& life, FakeCa& ca, testing::FakeClock& clock);

inline const std::string lifeName = "mail.example.org";

}  // namespace postern::test
