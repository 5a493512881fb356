// bench_cache: fills a cache directory with certificates, as if they had been ordered, for the bench of the start.
//
//   bench_cache CACHE DIRECTORY-URL COUNT
//
// The names are host-0.bench.example.test and so on, one certificate each.
#include <chrono>
#include <exception>
#include <iostream>
#include <string>

#include "acme/storage.h"
#include "base/clock.h"
#include "tests/support/test_certificates.h"

int main(int argc, char** argv) {
  using namespace postern;
  if (argc != 4) {
    std::cerr << "usage: bench_cache CACHE DIRECTORY-URL COUNT" << std::endl;
    return 2;
  }
  try {
    Log log(LogSettings{LogLevel::Warn, LogFormat::Text, ""});
    acme::Storage storage(argv[1], log);
    const testing::TestCa ca;
    const int count = std::stoi(argv[3]);
    for (int i = 0; i < count; ++i) {
      const std::string name = "host-" + std::to_string(i) + ".bench.example.test";
      const auto certificate = ca.issue({name});
      Json metadata;
      metadata["directory"] = argv[2];
      metadata["names"] = Json::strings({name});
      metadata["serial"] = certificate->serial();
      metadata["issuer"] = certificate->issuer();
      metadata["not_before"] = rfc3339(certificate->notBefore());
      metadata["not_after"] = rfc3339(certificate->notAfter());
      metadata["issued_at"] = rfc3339(certificate->notBefore());
      storage.certificate(argv[2], {name}, "ecdsa-p256")->store(*certificate, metadata);
    }
  } catch (const std::exception& error) {
    std::cerr << "bench_cache: " << error.what() << std::endl;
    return 1;
  }
}
