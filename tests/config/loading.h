// What the tests of configuration share: surroundings of their own, temporary folders, short ways to load a text.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "config/load.h"

namespace postern::config {

inline Surroundings surroundings(std::map<std::string, std::string> environment = {}) {
  Surroundings made;
  made.cores = 3;
  made.groupExists = [](const std::string& name) { return name == "root" || name == "mail"; };
  made.environment = [environment](const std::string& name) -> std::optional<std::string> {
    const auto at = environment.find(name);
    return at == environment.end() ? std::nullopt : std::optional<std::string>(at->second);
  };
  return made;
}

// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "postern-config-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

 private:
  std::string path_;
};

// Loads a text as a file of its own.
inline Loaded loaded(const std::string& text, const Surroundings& around = surroundings()) {
  const Folder folder;
  return load(folder.write("postern.toml", text), around);
}

// The settings of a text that has to load.
inline Settings settingsOf(const std::string& text, const Surroundings& around = surroundings()) {
  Loaded result = loaded(text, around);
  EXPECT_TRUE(result.settings.has_value()) << result.diagnostics.text() << text;
  return result.settings.value_or(Settings());
}

// Everything said about a text, without the folder's name.
inline std::string saidAbout(const std::string& text, const Surroundings& around = surroundings()) {
  const Folder folder;
  const std::string file = folder.write("postern.toml", text);
  std::string said = load(file, around).diagnostics.text();
  for (std::size_t at = 0; (at = said.find(file, at)) != std::string::npos;)
    said.replace(at, file.size(), "postern.toml");
  return said;
}

inline const std::string server = "server.hostname = \"mail.example.org\"\n";
inline const std::string smtp =
    server + "server.listener.smtp.bind = \"127.0.0.1:2525\"\nserver.listener.smtp.protocol = \"smtp\"\n";
inline const std::string provider = "acme.le.cache = \"/var/cache/acme\"\n";
inline const std::string smtpAcme = smtp + provider + "server.tls.acme = \"le\"\n";

inline const ListenerConfig& listenerOf(const Settings& settings, const std::string& id) {
  for (const ListenerConfig& config : settings.listeners) {
    if (config.listener.id == id) return config;
  }
  throw std::runtime_error("no listener " + id);
}

}  // namespace postern::config
