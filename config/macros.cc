#include "config/macros.h"

#include "base/text.h"
#include "config/keys.h"

namespace postern::config {

void Macros::define(const Node& table) {
  for (const auto& [name, node] : table.members) {
    const auto [at, fresh] = macros_.try_emplace(lower(name), Macro{node, name});
    if (!fresh) {
      Node bare;  // without its value: macros are where passwords are kept
      bare.place = node.place;
      report_.error({"macros", name}, bare,
                    "set twice, since capitals do not matter; the other stands at " + placeText(at->second.node.place),
                    "keep one of them");
    }
  }
  for (auto& entry : macros_) resolve(entry.second);
}

void Macros::resolve(Macro& macro) {
  if (macro.state == State::Done || macro.state == State::Failed) return;
  const KeyPath path{"macros", macro.name};
  if (macro.node.isTable() || macro.node.isList() || macro.node.kind == Node::Kind::Other) {
    report_.error(path, macro.node, "expected a text, a number or a boolean");
    macro.state = State::Failed;
    return;
  }
  macro.state = State::InWork;
  const bool good = !macro.node.isText() || expandText(macro.node, path);
  macro.state = good ? State::Done : State::Failed;
}

void Macros::expand(Node& node, const KeyPath& path) {
  if (!path.empty() && !findKey(path) && !isSection(path)) return;
  if (node.isText()) {
    const Node whole = node;
    if (!expandText(node, path)) {
      node = whole;
      node.broken = true;
    }
    return;
  }
  KeyPath below = path;
  below.emplace_back();
  for (auto& member : node.members) {
    if (path.empty() && member.first == "macros") continue;
    below.back() = member.first;
    expand(member.second, below);
  }
  for (Node& item : node.items) {
    if (item.isTable()) {
      below.back() = "[]";
      expand(item, below);
    } else {
      expand(item, path);
    }
  }
}

bool Macros::expandText(Node& node, const KeyPath& path) {
  const Node whole = node;
  const std::string& text = whole.text;
  node.text.clear();
  for (std::size_t at = 0; at < text.size();) {
    if (text.compare(at, 3, "%%{") == 0) {
      node.text += "%{";
      at += 3;
    } else if (text.compare(at, 2, "%{") == 0) {
      const auto end = text.find("}%", at + 2);
      if (end == std::string::npos) {
        report_.error(path, whole, "a macro is opened by %{ and not closed", "write %{NAME}%, or %%{ for a literal %{");
        return false;
      }
      if (!append(text.substr(at + 2, end - at - 2), node, path, whole)) return false;
      at = end + 2;
    } else {
      node.text += text[at++];
    }
  }
  if (node.text.find('\0') != std::string::npos) {
    node.text = whole.text;
    report_.error(path, whole, "holds a null byte");
    return false;
  }
  return true;
}

bool Macros::append(const std::string& inner, Node& to, const KeyPath& path, const Node& whole) {
  const std::string scheme = lower(inner.substr(0, inner.find(':') + 1));
  const std::string rest = inner.substr(scheme.size());
  if (scheme == "env:") {
    const auto value = surroundings_.environment ? surroundings_.environment(rest) : std::nullopt;
    if (!value) {
      report_.error(path, whole, "the environment has no variable " + rest, "set it, or put the value here");
      return false;
    }
    to.hidden = true;
    to.text += *value;
    return true;
  }
  if (scheme == "file:") {
    if (rest.empty() || rest.front() != '/') {
      report_.error(path, whole, "%{file:...}% expects an absolute path", "write %{file:/path}%");
      return false;
    }
    Files::Content content = files_.read(rest);
    if (!content.text) {
      report_.error(path, whole, "the file " + rest + " cannot be read: " + content.why,
                    "check the path and who may read it");
      return false;
    }
    if (!content.text->empty() && content.text->back() == '\n') content.text->pop_back();
    to.hidden = true;
    to.text += *content.text;
    return true;
  }
  // What looks like a macro in a password is a part of it that nobody may see.
  const std::string called = isSecret(path) ? "a macro in it" : "%{" + inner + "}%";
  const auto found = macros_.find(lower(inner));
  if (found == macros_.end()) {
    std::vector<std::string> names;
    for (const auto& entry : macros_) names.push_back(entry.first);
    const std::string near = nearest(lower(inner), names);
    report_.error(path, whole, called + " is not defined in [macros] of the main file",
                  near.empty() || isSecret(path) ? "define it there, or write %%{ for a literal %{"
                                                 : "did you mean %{" + macros_.at(near).name + "}%?");
    return false;
  }
  Macro& macro = found->second;
  if (macro.state == State::InWork) {
    report_.error(path, whole, called + " is cyclic: its value needs itself");
    return false;
  }
  resolve(macro);
  if (macro.state == State::Failed) return false;  // reported where the macro stands
  to.hidden = to.hidden || macro.node.hidden;
  to.text += macro.node.text;
  return true;
}

}  // namespace postern::config
