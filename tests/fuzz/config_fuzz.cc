// Configuration input: whatever a file holds, loading ends with settings or with errors, each on one line, and never
// shows what the environment brought in.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/load.h"

namespace {

constexpr const char* secret = "fuzzed-secret-71f3";

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::config;
  Surroundings around;
  around.environment = [](const std::string& name) {
    return name.empty() ? std::nullopt : std::optional<std::string>(secret);
  };
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (text.find(secret) != std::string::npos) return 0;
  const Loaded loaded = loadText(text, "fuzz.toml", around);
  require(loaded.settings.has_value() != loaded.diagnostics.hasErrors());
  for (const Diagnostic& diagnostic : loaded.diagnostics.all) {
    const std::string line = diagnostic.text();
    require(line.rfind("fuzz.toml:", 0) == 0);
    require(line.find('\n') == std::string::npos);
    require(line.find(secret) == std::string::npos);
  }
  return 0;
}
