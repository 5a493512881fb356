// Commands: the command line of `postern` (contract, section 1).
#pragma once

namespace postern::server {

// Parses and runs; returns the exit status: 0 done, 1 refused or failed (reason on stderr), 2 wrong usage.
int runCommand(int argc, char** argv);

}  // namespace postern::server
