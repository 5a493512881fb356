// bench_load: the load generator. `bench_load MODE --help` says what each mode takes; scripts/bench runs it.
#include <CLI/CLI.hpp>
#include <openssl/ssl.h>
#include <signal.h>

#include <exception>
#include <iostream>

#include "tests/bench/modes.h"

namespace postern::bench {

int versionOf(const std::string& name) {
  return name == "1.2" ? TLS1_2_VERSION : TLS1_3_VERSION;
}

void sayReady() {
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
}

}  // namespace postern::bench

int main(int argc, char** argv) {
  using namespace postern::bench;
  ::signal(SIGPIPE, SIG_IGN);
  CLI::App app("Load for the bench");
  app.require_subcommand(1);
  int status = 0;
  try {
    HandshakesOptions shaking;
    auto* shake = app.add_subcommand("handshakes", "Full or resumed handshakes");
    shake->add_option("--port", shaking.port)->required();
    shake->add_option("--dialogue", shaking.dialogue)->check(CLI::IsMember({"smtp", "imap", "imaps"}));
    shake->add_option("--tls", shaking.version)->check(CLI::IsMember({"1.2", "1.3"}));
    shake->add_flag("--resume", shaking.resume);
    shake->add_option("--clients", shaking.clients);
    shake->add_option("--count", shaking.count);
    shake->callback([&] { status = handshakes(shaking); });

    HoldOptions holding;
    auto* holder = app.add_subcommand("hold", "Idle sessions");
    holder->add_option("--port", holding.port)->required();
    holder->add_option("--dialogue", holding.dialogue)->check(CLI::IsMember({"smtp", "imap", "imaps"}));
    holder->add_option("--connections", holding.connections);
    holder->callback([&] { status = hold(holding); });

    SwapOptions swapping;
    auto* swap = app.add_subcommand("swap", "Certificates replaced under load");
    swap->add_option("--smtp-port", swapping.smtpPort)->required();
    swap->add_option("--imaps-port", swapping.imapsPort)->required();
    swap->add_option("--clients", swapping.clients);
    swap->add_option("--idle", swapping.idle);
    swap->add_option("--swaps", swapping.swaps);
    swap->add_option("--control", swapping.control);
    swap->add_option("--signal", swapping.signal);
    swap->add_option("--certificate", swapping.certificate)->required();
    swap->add_option("--key", swapping.key)->required();
    swap->add_option("--pair", swapping.pairs)->required();
    swap->add_option("--ca", swapping.ca)->required();
    swap->callback([&] { status = swaps(swapping); });

    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::cerr << "bench_load: " << error.what() << std::endl;
    return 1;
  }
  return status;
}
