#include "server/commands.h"

int main(int argc, char** argv) {
  return postern::server::runCommand(argc, argv);
}
