// What the load generator can do. Each mode prints one JSON object on the last line of its output. Where it says
// "ready" before, it waits for a line of input, so that whoever measures the server can look at its clock first.
#pragma once

#include <string>
#include <vector>

namespace postern::bench {

struct HandshakesOptions {
  int port = 0;
  std::string dialogue = "imaps";
  std::string version = "1.3";
  bool resume = false;
  int clients = 64;
  long count = 2000;
};
// Full or resumed handshakes by `clients` at once, each a whole connection from connect to goodbye.
int handshakes(const HandshakesOptions& options);

struct HoldOptions {
  int port = 0;
  std::string dialogue = "imaps";
  int connections = 10000;
};
// Opens idle sessions, says "ready", and looks at a line of input how many are still there.
int hold(const HoldOptions& options);

struct SwapOptions {
  int smtpPort = 0, imapsPort = 0;
  int clients = 64;
  int idle = 1000;
  int swaps = 1000;
  std::string control;             // Postern's control socket: `reload`; else
  int signal = 0;                  // the process that takes a SIGHUP
  std::string certificate, key;    // the files that the server serves
  std::vector<std::string> pairs;  // "certificate,key": what they are replaced with, in turn
  std::string ca;                  // verifies them
};
// Replaces the pair and has it loaded, again and again, under load.
int swaps(const SwapOptions& options);

int versionOf(const std::string& name);  // "1.2", "1.3"
// Prints "ready" and waits for a line.
void sayReady();

}  // namespace postern::bench
