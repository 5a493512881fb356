// Reader: finds keys in the document and turns them into values, for the parts that fill Settings.
//
// Types are checked beforehand, key by key (check.h), so what cannot be read here has been reported: it counts as not
// set. One thread; borrows the document and the report.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/document.h"
#include "config/files.h"
#include "config/load.h"
#include "config/report.h"
#include "config/values.h"

namespace postern::config {

// A node with the path it was found at.
struct Found {
  const Node* node = nullptr;
  KeyPath path;
  explicit operator bool() const { return node != nullptr; }
};

class Reader {
 public:
  // `incomplete`: a file of the document could not be read, so nothing is said about what is missing.
  Reader(const Node& root, bool incomplete, Report& report, Files& files, const Surroundings& surroundings)
      : root_(root), incomplete_(incomplete), report_(report), files_(files), surroundings_(surroundings) {}

  // As it stands; nothing when absent.
  Found raw(const KeyPath& path) const;
  // Nothing when absent, broken, or switched off by "" or [].
  Found find(const KeyPath& path) const;
  // "tls.timeout" of a listener, else of the server. The listener's "" or [] switches the server's off.
  Found inherited(const std::string& listener, const KeyPath& below) const;
  // One value is a list of one; nothing is an empty list. "" inside a list is left out.
  std::vector<Found> items(const Found& found) const;
  // The named sections below a path, in order of their names.
  std::vector<std::string> ids(const KeyPath& path) const;
  // Where the section stands, else the nearest one around it.
  Place placeOf(KeyPath path) const;

  std::string text(const Found& found, const std::string& fallback = "") const;
  bool boolean(const Found& found, bool fallback) const;
  std::int64_t count(const Found& found, std::int64_t fallback) const;
  std::chrono::milliseconds duration(const Found& found, std::chrono::milliseconds fallback) const;
  std::optional<std::int64_t> size(const Found& found) const;

  // What is wrong with a found value.
  void error(const Found& at, std::string problem, std::string remedy = "") const {
    report_.error(at.path, *at.node, std::move(problem), std::move(remedy));
  }
  void warning(const Found& at, std::string problem, std::string remedy = "") const {
    report_.warning(at.path, *at.node, std::move(problem), std::move(remedy));
  }
  // A required key that is absent; silent when it is there but broken.
  void require(const KeyPath& path, const std::string& problem, const std::string& remedy) const;

  bool isIncomplete() const { return incomplete_; }
  Report& report() const { return report_; }
  Files& files() const { return files_; }
  const Surroundings& surroundings() const { return surroundings_; }

 private:
  const Node& root_;
  bool incomplete_;
  Report& report_;
  Files& files_;
  const Surroundings& surroundings_;
};

// "a" + "b" → one path.
KeyPath operator/(KeyPath path, const std::string& name);
KeyPath operator/(KeyPath path, const KeyPath& below);

}  // namespace postern::config
