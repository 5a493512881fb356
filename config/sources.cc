#include "config/sources.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/text.h"
#include "config/keys.h"
#include "config/macros.h"

namespace postern::config {
namespace {

class Reading {
 public:
  Reading(const Surroundings& surroundings, Files& files, Report& report)
      : files_(files), report_(report), macros_(surroundings, files, report) {}

  void file(const std::string& path);
  void text(const std::string& text, const std::string& name);
  Document take() { return std::move(document_); }

 private:
  void included(const Node& include);
  void includeOne(const Node& asked, const KeyPath& path);
  void passOver(Node& node, const KeyPath& path);
  void merge(Node& into, Node from, const KeyPath& path);

  Files& files_;
  Report& report_;
  Macros macros_;
  Document document_;
  bool isMain_ = true;
  std::vector<std::string> open_;     // canonical paths of the files being read, outermost first
  std::map<std::string, Place> met_;  // canonical path of each file → where it was asked for
  std::set<std::string> told_;        // foreign sections that a note was made of
};

std::string canonical(const std::string& path) {
  std::error_code ignored;
  const auto whole = std::filesystem::weakly_canonical(path, ignored);
  return ignored ? path : whole.string();
}

void Reading::file(const std::string& path) {
  document_.files.push_back(path);
  Files::Content content = files_.read(path);
  if (!content.text) {
    document_.incomplete = true;
    report_.missing({}, {path, 0}, "cannot be read: " + content.why, "check the path and who may read it");
    return;
  }
  const std::string whole = canonical(path);
  met_.emplace(whole, Place{path, 0});
  open_.push_back(whole);
  text(*content.text, path);
  open_.pop_back();
}

void Reading::text(const std::string& text, const std::string& name) {
  auto parsed = parseDocument(text, name);
  if (auto* error = std::get_if<Diagnostic>(&parsed)) {
    report_.add(*error);
    document_.incomplete = true;
    isMain_ = false;
    return;
  }
  Node root = std::get<Node>(std::move(parsed));
  passOver(root, {});
  if (const auto at = root.members.find("macros"); at != root.members.end()) {
    if (!at->second.isTable()) {
      report_.error({"macros"}, at->second, "expected a section", "write [macros]");
    } else if (isMain_) {
      macros_.define(at->second);
    } else {
      report_.warning({"macros"}, at->second,
                      "macros come from the main file; those of an included file are passed over",
                      "move them into the main file");
    }
    root.members.erase(at);
  }
  isMain_ = false;
  macros_.expand(root, {});
  Node include;
  if (const auto at = root.members.find("include"); at != root.members.end()) {
    include = std::move(at->second);
    root.members.erase(at);
  }
  if (document_.root.place.file.empty()) document_.root.place = root.place;
  merge(document_.root, std::move(root), {});
  included(include);
}

// Not merged: each file has its own.
void Reading::included(const Node& include) {
  if (include.place.file.empty()) return;
  if (!include.isTable()) {
    report_.error({"include"}, include, "expected a section", "write [include] and files = [...] below it");
    return;
  }
  for (const auto& [name, node] : include.members) {
    const KeyPath path{"include", name};
    if (name != "files") {
      const std::string near = nearest(name, {"files"});
      report_.warning(path, node, "unknown key", near.empty() ? "" : "did you mean files?");
      continue;
    }
    if (node.isOff()) continue;
    if (!node.isList()) {
      includeOne(node, path);
    } else {
      for (const Node& item : node.items) includeOne(item, path);
    }
  }
}

void Reading::includeOne(const Node& asked, const KeyPath& path) {
  if (!asked.isText()) {
    report_.error(path, asked, "expected the path of a file", "put it into quotes");
    return;
  }
  if (files_.access() == Files::Access::None) {
    report_.error(path, asked, "files are not included here");
    return;
  }
  if (asked.text.empty()) return;
  if (asked.broken) {
    document_.incomplete = true;
    return;
  }
  std::string pattern = asked.text;
  if (pattern.front() != '/') {
    pattern = (std::filesystem::path(asked.place.file).parent_path() / pattern).string();
  }
  files_.about(pattern);
  std::vector<std::string> matches;
  if (asked.text.find_first_of("*?[") == std::string::npos) {
    matches.push_back(pattern);
  } else {
    glob_t found{};
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
      for (std::size_t i = 0; i < found.gl_pathc; ++i) {
        struct stat facts {};
        if (stat(found.gl_pathv[i], &facts) != 0 || !S_ISDIR(facts.st_mode)) matches.emplace_back(found.gl_pathv[i]);
      }
    }
    globfree(&found);  // a pattern that matches nothing is fine: conf.d may be empty
  }
  for (const std::string& match : matches) {
    const std::string whole = canonical(match);
    if (std::find(open_.begin(), open_.end(), whole) != open_.end()) {
      report_.error(path, asked, "includes are cyclic: this includes a file that is being read", "leave it out");
      continue;
    }
    if (const auto met = met_.find(whole); met != met_.end()) {
      report_.error(path, asked, "includes a file for the second time; the first is at " + placeText(met->second),
                    "include it once");
      continue;
    }
    std::error_code error;
    if (!std::filesystem::exists(match, error)) {
      document_.incomplete = true;
      report_.error(path, asked, "there is no such file; paths are relative to the including file", "check the path");
      continue;
    }
    met_.emplace(whole, asked.place);
    file(match);
  }
}

// Takes out what belongs to other mail servers, before its macros or repetitions can be an error.
void Reading::passOver(Node& node, const KeyPath& path) {
  const auto tell = [this](const KeyPath& which, const Node& what, const char* problem) {
    if (!told_.insert(dotted(which)).second) return;
    Node bare;  // shows no value: it is not ours to judge
    bare.place = what.place;
    report_.note(which, bare, problem);
  };
  for (auto at = node.members.begin(); at != node.members.end();) {
    KeyPath below = path;
    below.push_back(at->first);
    const bool section = path.empty() && isForeignSection(at->first);
    const bool directory = path == KeyPath{"directory"} && at->first != "memory";
    const bool storage =
        path == KeyPath{"storage"} && at->first != "maildir" && nearest(at->first, {"maildir"}).empty();
    if (section || directory) {
      tell(below, at->second, "a section of other mail servers, passed over");
    } else if (storage) {
      tell({"storage"}, at->second, "keys of other mail servers, passed over; ours is maildir");
    } else if (isForeignKey(below)) {
      tell(below, at->second, "a key of other mail servers, passed over");
    } else {
      passOver(at->second, below);
      ++at;
      continue;
    }
    at = node.members.erase(at);
  }
  KeyPath below = path;
  below.emplace_back("[]");
  const bool principals = path == KeyPath{"directory", "memory", "principals"};
  for (auto item = node.items.begin(); item != node.items.end();) {
    // Groups and lists have no password and no mail of their own here.
    const auto type = item->members.count("type") ? item->members.find("type") : item->members.find("class");
    const bool group =
        principals && type != item->members.end() && (type->second.text == "group" || type->second.text == "list");
    if (group) {
      Node bare;
      bare.place = item->place;
      report_.note(path, bare, "a " + type->second.text + " of other mail servers, passed over");
      item = node.items.erase(item);
      continue;
    }
    passOver(*item, below);
    ++item;
  }
}

void Reading::merge(Node& into, Node from, const KeyPath& path) {
  for (auto& member : from.members) {
    KeyPath below = path;
    below.push_back(member.first);
    const auto at = into.members.find(member.first);
    if (at == into.members.end()) {
      into.members.emplace(member.first, std::move(member.second));
    } else if (at->second.isTable() && member.second.isTable()) {
      merge(at->second, std::move(member.second), below);
    } else if (at->second.appends && member.second.appends) {
      for (Node& item : member.second.items) at->second.items.push_back(std::move(item));
    } else {
      report_.error(below, member.second, "set twice; the first stands at " + placeText(at->second.place),
                    "keep one of them");
    }
  }
}

}  // namespace

Document readFiles(const std::string& file, const Surroundings& surroundings, Files& files, Report& report) {
  Reading reading(surroundings, files, report);
  reading.file(file);
  return reading.take();
}

Document readText(const std::string& text, const std::string& name, const Surroundings& surroundings, Files& files,
                  Report& report) {
  Reading reading(surroundings, files, report);
  reading.text(text, name);
  Document document = reading.take();
  document.files.push_back(name);
  return document;
}

}  // namespace postern::config
