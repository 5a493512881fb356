#include "tests/support/dns_server.h"

#include <arpa/inet.h>
#include <ldns/ldns.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <stdexcept>

#include "base/text.h"

namespace postern::test {
namespace {

struct Free {
  void operator()(ldns_pkt* packet) const noexcept { ldns_pkt_free(packet); }
  void operator()(ldns_rr* record) const noexcept { ldns_rr_free(record); }
  void operator()(ldns_rdf* field) const noexcept { ldns_rdf_deep_free(field); }
  void operator()(char* text) const noexcept { std::free(text); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

std::string plain(std::string name) {
  name = lower(name);
  if (!name.empty() && name.back() == '.') name.pop_back();
  return name;
}

std::string textOf(const ldns_rdf* field) {
  return plain(Owned<char>(ldns_rdf2str(field)).get());
}
std::string typeOf(const ldns_rr* record) {
  return Owned<char>(ldns_rr_type2str(ldns_rr_get_type(record))).get();
}

bool within(const std::string& name, const std::string& zone) {
  return name == zone || (name.size() > zone.size() && name.ends_with("." + zone));
}

Owned<ldns_pkt> parsed(const std::string& bytes) {
  const std::vector<std::uint8_t> wire(bytes.begin(), bytes.end());
  ldns_pkt* packet = nullptr;
  if (ldns_wire2pkt(&packet, wire.data(), wire.size()) != LDNS_STATUS_OK) return nullptr;
  return Owned<ldns_pkt>(packet);
}

std::string bytesOf(const ldns_pkt* packet) {
  std::uint8_t* wire = nullptr;
  std::size_t size = 0;
  if (ldns_pkt2wire(&wire, packet, &size) != LDNS_STATUS_OK) throw std::runtime_error("cannot encode a DNS answer");
  std::string bytes(wire, wire + size);
  std::free(wire);
  return bytes;
}

void push(ldns_pkt* packet, ldns_pkt_section section, const std::string& text) {
  ldns_rr* record = nullptr;
  if (ldns_rr_new_frm_str(&record, text.c_str(), 60, nullptr, nullptr) != LDNS_STATUS_OK) {
    throw std::runtime_error("not a DNS record: " + text);
  }
  ldns_pkt_push_rr(packet, section, record);
}

Owned<ldns_pkt> answerOf(const ldns_pkt* query) {
  Owned<ldns_pkt> answer(ldns_pkt_new());
  ldns_pkt_set_id(answer.get(), ldns_pkt_id(query));
  ldns_pkt_set_opcode(answer.get(), ldns_pkt_get_opcode(query));
  ldns_pkt_set_qr(answer.get(), true);
  ldns_pkt_set_rd(answer.get(), ldns_pkt_rd(query));
  ldns_pkt_push_rr(answer.get(), LDNS_SECTION_QUESTION, ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_question(query), 0)));
  return answer;
}

// An unsigned TSIG record that says why (RFC 8945 section 5.3.2), behind an answer.
std::string withTsigError(std::string answer, const ldns_rr* asked, char error) {
  std::string name, algorithm;
  for (const auto& [field, wire] :
       {std::pair{ldns_rr_owner(asked), &name}, std::pair{ldns_rr_rdf(asked, 0), &algorithm}}) {
    wire->assign(ldns_rdf_data(field), ldns_rdf_data(field) + ldns_rdf_size(field));
  }
  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  std::string data = algorithm;
  for (int shift = 40; shift >= 0; shift -= 8) data += static_cast<char>(now >> shift & 0xff);
  data += std::string("\x01\x2c\0\0", 4) + answer.substr(0, 2) + std::string{'\0', error} + std::string(2, '\0');
  answer[11] = static_cast<char>(answer[11] + 1);
  return answer + name + std::string("\0\xfa\0\xff\0\0\0\0\0", 9) + static_cast<char>(data.size()) + data;
}

int bound(int type, const std::string& address, std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const int on = 1;
  // Of two datagram sockets that both set it, the system may give the second the port of the first.
  if (type == SOCK_STREAM) ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &where.sin_addr);
  if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

std::uint16_t portOf(int descriptor) {
  sockaddr_in where{};
  socklen_t size = sizeof where;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&where), &size);
  return ntohs(where.sin_port);
}

bool readWhole(int descriptor, std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t got = ::recv(descriptor, bytes.data() + at, bytes.size() - at, 0);
    if (got <= 0) return false;
    at += static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

DnsServer::DnsServer(std::string address, std::uint16_t port, const std::string& other) : address_(std::move(address)) {
  const auto isFree = [](const std::string& where, std::uint16_t number) {
    const int udp = bound(SOCK_DGRAM, where, number), tcp = bound(SOCK_STREAM, where, number);
    for (const int descriptor : {udp, tcp}) {
      if (descriptor >= 0) ::close(descriptor);
    }
    return udp >= 0 && tcp >= 0;
  };
  for (int attempt = 0; attempt < 100 && tcp_ < 0; ++attempt) {
    udp_ = bound(SOCK_DGRAM, address_, port);
    if (udp_ < 0) continue;
    if (other.empty() || isFree(other, portOf(udp_))) tcp_ = bound(SOCK_STREAM, address_, portOf(udp_));
    if (tcp_ < 0) ::close(udp_);
  }
  if (tcp_ < 0 || ::listen(tcp_, 16) != 0 || ::pipe(wake_) != 0) throw std::runtime_error("no port for a DNS server");
  port_ = portOf(udp_);
  thread_ = std::thread([this] { serve(); });
}

DnsServer::~DnsServer() {
  ::close(wake_[1]);
  thread_.join();
  for (const int descriptor : {udp_, tcp_, wake_[0]}) ::close(descriptor);
}

void DnsServer::holdZone(const std::string& zone) {
  std::lock_guard lock(mutex_);
  zones_.push_back(zone);
}

void DnsServer::addRecord(const std::string& record) {
  ldns_rr* raw = nullptr;
  if (ldns_rr_new_frm_str(&raw, record.c_str(), 60, nullptr, nullptr) != LDNS_STATUS_OK) {
    throw std::runtime_error("not a DNS record: " + record);
  }
  const Owned<ldns_rr> made(raw);
  std::lock_guard lock(mutex_);
  records_.push_back({textOf(ldns_rr_owner(raw)), typeOf(raw), record});
}

void DnsServer::delegate(const std::string& zone) {
  std::lock_guard lock(mutex_);
  delegated_.push_back(zone);
}

void DnsServer::takeUpdatesWith(const std::string& keyName, const std::string& base64Secret,
                                const std::string& algorithm) {
  std::lock_guard lock(mutex_);
  keyName_ = keyName;
  secret_ = base64Secret;
  algorithm_ = algorithm;
}

void DnsServer::refuseUpdates(int rcode) {
  std::lock_guard lock(mutex_);
  refusal_ = rcode;
}

void DnsServer::setSilent(bool silent) {
  std::lock_guard lock(mutex_);
  silent_ = silent;
}

void DnsServer::swallowUpdateAnswers(bool swallow) {
  std::lock_guard lock(mutex_);
  swallowing_ = swallow;
}

void DnsServer::spoilSignatures(bool spoil) {
  std::lock_guard lock(mutex_);
  spoiling_ = spoil;
}

void DnsServer::setTruncating(bool truncating) {
  std::lock_guard lock(mutex_);
  truncating_ = truncating;
}

void DnsServer::failFor(const std::string& type) {
  std::lock_guard lock(mutex_);
  failing_ = type;
}

void DnsServer::follow(DnsServer& primary, int questions) {
  std::lock_guard lock(mutex_);
  primary_ = &primary;
  lag_ = questions;
}

std::vector<std::string> DnsServer::txt(const std::string& name) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> values;
  for (const Record& record : records_) {
    if (record.owner != name || record.type != "TXT") continue;
    const auto begin = record.text.find('"') + 1;
    values.push_back(record.text.substr(begin, record.text.rfind('"') - begin));
  }
  return values;
}

int DnsServer::questions(const std::string& type) const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(std::count(asked_.begin(), asked_.end(), type));
}

int DnsServer::updates() const {
  std::lock_guard lock(mutex_);
  return updates_;
}

void DnsServer::serve() {
  for (;;) {
    pollfd waiting[] = {{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    ::poll(waiting, 3, -1);
    if (waiting[2].revents) return;
    if (waiting[0].revents) {
      std::string bytes(65535, '\0');
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const ssize_t got = ::recvfrom(udp_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      const std::string answer = answerTo(bytes, true);
      if (!answer.empty()) {
        ::sendto(udp_, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&from), size);
      }
    }
    if (waiting[1].revents) {
      const int descriptor = ::accept4(tcp_, nullptr, nullptr, SOCK_CLOEXEC);
      serveTcp(descriptor);
      ::close(descriptor);
    }
  }
}

void DnsServer::serveTcp(int descriptor) {
  ++tcpConnections_;
  std::string length(2, '\0');
  if (!readWhole(descriptor, length)) return;
  const auto high = static_cast<unsigned char>(length[0]), low = static_cast<unsigned char>(length[1]);
  std::string bytes(static_cast<std::size_t>(high) << 8 | low, '\0');
  if (!readWhole(descriptor, bytes)) return;
  const std::string answer = answerTo(bytes, false);
  if (answer.empty()) {  // the client has to give up by itself
    pollfd waiting[] = {{descriptor, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    ::poll(waiting, 2, -1);
    return;
  }
  const std::string whole =
      std::string{static_cast<char>(answer.size() >> 8), static_cast<char>(answer.size() & 0xff)} + answer;
  ::send(descriptor, whole.data(), whole.size(), MSG_NOSIGNAL);
}

std::string DnsServer::zoneOf(const std::string& name) const {
  std::string best;
  for (const std::string& zone : zones_) {
    if (within(name, zone) && zone.size() > best.size()) best = zone;
  }
  return best;
}

std::string DnsServer::answerTo(const std::string& bytes, bool udp) {
  const Owned<ldns_pkt> query = parsed(bytes);
  if (!query || ldns_rr_list_rr_count(ldns_pkt_question(query.get())) != 1) return {};
  if (ldns_pkt_get_opcode(query.get()) == LDNS_PACKET_UPDATE) return update(bytes);
  const ldns_rr* question = ldns_rr_list_rr(ldns_pkt_question(query.get()), 0);
  const std::string name = textOf(ldns_rr_owner(question)), type = typeOf(question);
  std::vector<std::string> followed;
  DnsServer* primary = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (silent_) return {};
    asked_.push_back(type);
    if (primary_ && type == "TXT" && lag_-- <= 0) primary = primary_;
  }
  if (primary) followed = primary->txt(name);

  std::lock_guard lock(mutex_);
  Owned<ldns_pkt> answer = answerOf(query.get());
  if (udp && truncating_) {
    ldns_pkt_set_tc(answer.get(), true);
    return bytesOf(answer.get());
  }
  if (type == failing_) {
    ldns_pkt_set_rcode(answer.get(), LDNS_RCODE_SERVFAIL);
    return bytesOf(answer.get());
  }
  for (const std::string& zone : delegated_) {
    if (!within(name, zone)) continue;
    push(answer.get(), LDNS_SECTION_AUTHORITY, zone + ". 60 IN NS ns.elsewhere.test.");
    return bytesOf(answer.get());
  }
  const std::string zone = zoneOf(name);
  if (zone.empty()) {
    ldns_pkt_set_rcode(answer.get(), LDNS_RCODE_REFUSED);
    return bytesOf(answer.get());
  }
  ldns_pkt_set_aa(answer.get(), true);
  const std::string soa = zone + ". 60 IN SOA ns." + zone + ". admin." + zone + ". 1 60 60 60 60";
  bool exists = name == zone || !followed.empty(), answered = !followed.empty();
  for (const std::string& value : followed)
    push(answer.get(), LDNS_SECTION_ANSWER, name + ". 60 IN TXT \"" + value + "\"");
  for (const Record& record : records_) {
    if (record.owner != name) continue;
    exists = true;
    if (record.type != type && record.type != "CNAME") continue;
    answered = true;
    push(answer.get(), LDNS_SECTION_ANSWER, record.text);
  }
  if (type == "SOA" && name == zone) {
    push(answer.get(), LDNS_SECTION_ANSWER, soa);
  } else if (!answered) {
    push(answer.get(), LDNS_SECTION_AUTHORITY, soa);
    if (!exists) ldns_pkt_set_rcode(answer.get(), LDNS_RCODE_NXDOMAIN);
  }
  return bytesOf(answer.get());
}

std::string DnsServer::update(const std::string& bytes) {
  const Owned<ldns_pkt> query = parsed(bytes);
  Owned<ldns_pkt> answer = answerOf(query.get());
  std::lock_guard lock(mutex_);
  if (silent_) return {};
  const ldns_rr* signature = ldns_pkt_tsig(query.get());
  if (!signature || keyName_.empty()) {
    ldns_pkt_set_rcode(answer.get(), LDNS_RCODE_REFUSED);
    return bytesOf(answer.get());
  }
  const bool known = textOf(ldns_rr_owner(signature)) == keyName_ && textOf(ldns_rr_rdf(signature, 0)) == algorithm_;
  const std::vector<std::uint8_t> wire(bytes.begin(), bytes.end());
  if (!known ||
      !ldns_pkt_tsig_verify(query.get(), wire.data(), wire.size(), keyName_.c_str(), secret_.c_str(), nullptr)) {
    ldns_pkt_set_rcode(answer.get(), LDNS_RCODE_NOTAUTH);
    return withTsigError(bytesOf(answer.get()), signature, known ? '\x10' : '\x11');
  }
  const Owned<ldns_rdf> mac(ldns_rdf_clone(ldns_rr_rdf(signature, 3)));
  const std::string zone = textOf(ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(query.get()), 0)));
  if (refusal_ != 0) {
    ldns_pkt_set_rcode(answer.get(), static_cast<std::uint8_t>(refusal_));
  } else if (std::find(zones_.begin(), zones_.end(), zone) == zones_.end()) {
    ldns_pkt_set_rcode(answer.get(), LDNS_RCODE_NOTAUTH);
  } else {
    const ldns_rr_list* changes = ldns_pkt_authority(query.get());
    for (std::size_t i = 0; i < ldns_rr_list_rr_count(changes); ++i) {
      const ldns_rr* change = ldns_rr_list_rr(changes, i);
      const std::string owner = textOf(ldns_rr_owner(change));
      const std::string value = Owned<char>(ldns_rdf2str(ldns_rr_rdf(change, 0))).get();
      const std::string text = owner + ". 60 IN TXT " + value;
      records_.erase(std::remove_if(records_.begin(), records_.end(),
                                    [&](const Record& one) { return one.owner == owner && one.text == text; }),
                     records_.end());
      if (ldns_rr_get_class(change) == LDNS_RR_CLASS_IN) records_.push_back({owner, "TXT", text});
    }
    ++updates_;
  }
  if (swallowing_) return {};
  const std::string secret = spoiling_ ? "c29tZSBvdGhlciBzZWNyZXQ=" : secret_;
  ldns_pkt_tsig_sign(answer.get(), keyName_.c_str(), secret.c_str(), 300, (algorithm_ + ".").c_str(), mac.get());
  return bytesOf(answer.get());
}

}  // namespace postern::test
