#include "config/load.h"

#include <grp.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <thread>
#include <vector>

#include "config/check.h"
#include "config/sections.h"
#include "config/sources.h"

namespace postern::config {
namespace {

bool isSystemGroup(const std::string& name) {
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer(1024);
  while (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE) {
    buffer.resize(buffer.size() * 2);
  }
  return found != nullptr;
}

std::map<std::string, Place> placesOf(const Reader& reader) {
  std::map<std::string, Place> places;
  for (const std::string& name : reader.ids({"certificate"}))
    places["certificate/" + name] = reader.placeOf({"certificate", name});
  for (const std::string& name : reader.ids({"acme"})) places["acme/" + name] = reader.placeOf({"acme", name});
  for (const std::string& id : reader.ids({"server", "listener"})) {
    places["listener/" + id] = reader.placeOf({"server", "listener", id});
  }
  return places;
}

Loaded settle(const Document& document, const Surroundings& surroundings, Files& files, Report& report) {
  Loaded loaded;
  Settings settings;
  const Reader reader(document.root, document.incomplete, report, files, surroundings);
  check(document.root, report);
  readServer(reader, settings);
  readProviders(reader, settings);
  readEvents(reader, settings);
  readCertificates(reader, settings);
  readAccounts(reader, settings);
  readListeners(reader, settings);
  settings.files = files.wereRead();
  loaded.places = placesOf(reader);
  loaded.diagnostics = report.take(document.files);
  if (!loaded.diagnostics.hasErrors()) loaded.settings = std::move(settings);
  return loaded;
}

}  // namespace

Surroundings ofThisProcess() {
  Surroundings surroundings;
  surroundings.environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  surroundings.cores = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U));
  surroundings.runtimeDirectory = surroundings.environment("RUNTIME_DIRECTORY").value_or("");
  surroundings.groupExists = [](const std::string& name) { return isSystemGroup(name); };
  return surroundings;
}

Loaded load(const std::string& file, const Surroundings& surroundings) {
  Files files(Files::Access::All, surroundings.touches);
  Report report;
  const Document document = readFiles(file, surroundings, files, report);
  return settle(document, surroundings, files, report);
}

Loaded loadText(const std::string& text, const std::string& name, const Surroundings& surroundings) {
  Files files(Files::Access::None);
  Report report;
  const Document document = readText(text, name, surroundings, files, report);
  return settle(document, surroundings, files, report);
}

}  // namespace postern::config
