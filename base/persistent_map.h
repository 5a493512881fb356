// PersistentMap<Key, Value>: an immutable hash map whose copies share what they have in common.
//
// A value; any thread may read one. with() and without() give another map and leave this one as it was, at the cost of
// one path through a flat tree, whatever the size; dropping the old one frees that path alone. changes() between two
// maps looks at what differs and passes over what they share. So a thousand names, of which one changes, are one
// change for everybody who works with them.
//
// (A hash array mapped trie: five bits of the hash choose among up to 32 branches on each level.)
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace postern {

template <class Key, class Value, class Hash = std::hash<Key>>
class PersistentMap {
 public:
  using Entry = std::pair<Key, Value>;

  PersistentMap() = default;
  // All at once. Of several entries with one key the first stays.
  explicit PersistentMap(std::vector<Entry> entries) {
    Leaves leaves;
    leaves.reserve(entries.size());
    for (auto& entry : entries) {
      const std::uint64_t hash = hashOf(entry.first);
      leaves.push_back(std::make_shared<const Leaf>(Leaf{hash, {std::move(entry)}}));
    }
    size_ = 0;
    if (!leaves.empty()) root_ = build(std::move(leaves), 0);
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Null when there is none; valid as long as this map or one that shares it.
  template <class Like>
  const Value* find(const Like& key) const {
    const std::uint64_t hash = Hash{}(key);
    const Node* node = root_.get();
    for (unsigned shift = 0; node != nullptr; shift += bits) {
      const std::uint32_t bit = bitOf(hash, shift);
      if ((node->occupied & bit) == 0) return nullptr;
      const Slot& slot = node->slots[indexOf(*node, bit)];
      if (slot.leaf) return slot.leaf->hash == hash ? valueIn(*slot.leaf, key) : nullptr;
      node = slot.child.get();
    }
    return nullptr;
  }

  PersistentMap with(Key key, Value value) const {
    PersistentMap next;
    next.size_ = size_ + (find(key) == nullptr ? 1 : 0);
    const std::uint64_t hash = hashOf(key);
    next.root_ = insert(root_.get(), hash, {std::move(key), std::move(value)}, 0);
    return next;
  }
  PersistentMap without(const Key& key) const {
    if (find(key) == nullptr) return *this;
    PersistentMap next;
    next.size_ = size_ - 1;
    if (next.size_ != 0) next.root_ = erase(*root_, hashOf(key), key, 0);
    return next;
  }

  // `see(key, value)` for each entry, in no order.
  template <class See>
  void forEach(const See& see) const {
    if (root_) walk(Slot{root_, nullptr}, see);
  }
  // `see(key, before, after)` for each key whose value is another one in `after`; null where there is none.
  template <class See>
  void changes(const PersistentMap& after, const See& see) const {
    compare(Slot{root_, nullptr}, Slot{after.root_, nullptr}, see);
  }

 private:
  static constexpr unsigned bits = 5, width = 64;

  struct Leaf {  // the entries of one hash; nearly always one
    std::uint64_t hash;
    std::vector<Entry> entries;
  };
  struct Node;
  struct Slot {  // one of the two
    std::shared_ptr<const Node> child;
    std::shared_ptr<const Leaf> leaf;
    bool operator==(const Slot&) const = default;
  };
  struct Node {
    std::uint32_t occupied = 0;
    std::vector<Slot> slots;  // of the branches that are occupied, in their order
  };
  using Leaves = std::vector<std::shared_ptr<const Leaf>>;
  using NodeRef = std::shared_ptr<const Node>;

  static std::uint64_t hashOf(const Key& key) { return Hash{}(key); }
  static std::uint32_t bitOf(std::uint64_t hash, unsigned shift) { return 1U << ((hash >> shift) & 31U); }
  static std::size_t indexOf(const Node& node, std::uint32_t bit) {
    return static_cast<std::size_t>(std::popcount(node.occupied & (bit - 1)));
  }
  template <class Like>
  static const Value* valueIn(const Leaf& leaf, const Like& key) {
    for (const auto& entry : leaf.entries) {
      if (entry.first == key) return &entry.second;
    }
    return nullptr;
  }

  NodeRef build(Leaves leaves, unsigned shift) {
    std::vector<Leaves> branches(32);
    for (auto& leaf : leaves) branches[(leaf->hash >> shift) & 31U].push_back(std::move(leaf));
    auto node = std::make_shared<Node>();
    for (std::size_t branch = 0; branch < branches.size(); ++branch) {
      Leaves& below = branches[branch];
      if (below.empty()) continue;
      node->occupied |= 1U << branch;
      bool oneHash = true;
      for (const auto& leaf : below) oneHash = oneHash && leaf->hash == below.front()->hash;
      if (oneHash)
        node->slots.push_back({nullptr, merged(below)});
      else
        node->slots.push_back({build(std::move(below), shift + bits), nullptr});
    }
    return node;
  }
  std::shared_ptr<const Leaf> merged(const Leaves& leaves) {
    if (leaves.size() == 1) {
      ++size_;
      return leaves.front();
    }
    auto all = std::make_shared<Leaf>(Leaf{leaves.front()->hash, {}});
    for (const auto& leaf : leaves) {
      const Entry& entry = leaf->entries.front();
      if (valueIn(*all, entry.first) == nullptr) all->entries.push_back(entry);
    }
    size_ += all->entries.size();
    return all;
  }

  static NodeRef insert(const Node* before, std::uint64_t hash, Entry entry, unsigned shift) {
    auto node = before == nullptr ? std::make_shared<Node>() : std::make_shared<Node>(*before);
    const std::uint32_t bit = bitOf(hash, shift);
    const std::size_t index = indexOf(*node, bit);
    if ((node->occupied & bit) == 0) {
      node->occupied |= bit;
      node->slots.insert(node->slots.begin() + static_cast<std::ptrdiff_t>(index),
                         Slot{nullptr, std::make_shared<const Leaf>(Leaf{hash, {std::move(entry)}})});
      return node;
    }
    Slot& slot = node->slots[index];
    if (slot.child) {
      slot.child = insert(slot.child.get(), hash, std::move(entry), shift + bits);
    } else if (slot.leaf->hash == hash) {
      auto leaf = std::make_shared<Leaf>(*slot.leaf);
      std::erase_if(leaf->entries, [&](const Entry& one) { return one.first == entry.first; });
      leaf->entries.push_back(std::move(entry));
      slot.leaf = std::move(leaf);
    } else {
      // Two hashes on one branch: both go a level down, for as long as they go together.
      auto below = std::make_shared<Node>();
      below->occupied = bitOf(slot.leaf->hash, shift + bits);
      below->slots.push_back({nullptr, slot.leaf});
      slot = {insert(below.get(), hash, std::move(entry), shift + bits), nullptr};
    }
    return node;
  }

  static NodeRef erase(const Node& before, std::uint64_t hash, const Key& key, unsigned shift) {
    const std::uint32_t bit = bitOf(hash, shift);
    const std::size_t index = indexOf(before, bit);
    Slot left;
    if (const Slot& slot = before.slots[index]; slot.child) {
      left.child = erase(*slot.child, hash, key, shift + bits);
      // A branch with one leaf is that leaf, so that equal maps have one form.
      if (left.child && left.child->slots.size() == 1 && left.child->slots.front().leaf)
        left = Slot{nullptr, left.child->slots.front().leaf};
    } else if (slot.leaf->entries.size() > 1) {
      auto leaf = std::make_shared<Leaf>(*slot.leaf);
      std::erase_if(leaf->entries, [&](const Entry& one) { return one.first == key; });
      left.leaf = std::move(leaf);
    }
    auto node = std::make_shared<Node>(before);
    if (left.child || left.leaf) {
      node->slots[index] = std::move(left);
    } else {
      node->occupied &= ~bit;
      node->slots.erase(node->slots.begin() + static_cast<std::ptrdiff_t>(index));
    }
    return node->slots.empty() ? nullptr : node;
  }

  template <class See>
  static void walk(const Slot& slot, const See& see) {
    if (slot.leaf) {
      for (const auto& [key, value] : slot.leaf->entries) see(key, value);
    }
    if (slot.child) {
      for (const auto& below : slot.child->slots) walk(below, see);
    }
  }

  static Slot branchOf(const Slot& slot, std::uint32_t bit) {
    if (!slot.child || (slot.child->occupied & bit) == 0) return {};
    return slot.child->slots[indexOf(*slot.child, bit)];
  }

  template <class See>
  static void compare(const Slot& before, const Slot& after, const See& see) {
    if (before == after) return;
    if (before.child && after.child) {
      for (std::uint32_t left = before.child->occupied | after.child->occupied; left != 0; left &= left - 1) {
        const std::uint32_t bit = left & ~(left - 1);
        compare(branchOf(before, bit), branchOf(after, bit), see);
      }
      return;
    }
    // A leaf stands on one side at least: few entries, or a branch of which all but one are gone.
    walk(before, [&](const Key& key, const Value& value) {
      const Value* const now = lookUp(after, key);
      if (now == nullptr || !(*now == value)) see(key, &value, now);
    });
    walk(after, [&](const Key& key, const Value& value) {
      if (lookUp(before, key) == nullptr) see(key, nullptr, &value);
    });
  }
  static const Value* lookUp(const Slot& slot, const Key& key) {
    const Value* found = nullptr;
    walk(slot, [&](const Key& other, const Value& value) {
      if (other == key) found = &value;
    });
    return found;
  }

  NodeRef root_;
  std::size_t size_ = 0;
};

}  // namespace postern
