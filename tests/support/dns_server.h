// DnsServer: a small authoritative DNS server on loopback for tests, UDP and TCP on one port, with updates (RFC 2136)
// signed with TSIG. Made of libldns alone, so that what it accepts is an opinion of somebody else's.
//
// Answers on a thread of its own; any thread may call anything here.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace postern::test {

class DnsServer {
 public:
  // On `port` of `address`, 0: a free one, the same for UDP and TCP, and free at the other address as well if there is
  // one.
  explicit DnsServer(std::string address = "127.0.0.1", std::uint16_t port = 0, const std::string& other = "");
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  const std::string& address() const { return address_; }
  std::uint16_t port() const { return port_; }
  std::string text() const { return address_ + ":" + std::to_string(port_); }

  void holdZone(const std::string& zone);     // what is outside of its zones is REFUSED
  void addRecord(const std::string& record);  // "a.example.org. 60 IN A 192.0.2.1"
  void delegate(const std::string& zone);     // a zone below its own that others hold
  void takeUpdatesWith(const std::string& keyName, const std::string& base64Secret,
                       const std::string& algorithm = "hmac-sha256");
  void refuseUpdates(int rcode);            // signed, as a server that does not like the change
  void setSilent(bool silent);              // receives, and does nothing
  void swallowUpdateAnswers(bool swallow);  // does what an update says and does not tell
  void spoilSignatures(bool spoil);         // signs its answers with another key
  void setTruncating(bool truncating);      // over UDP: "ask again over TCP"
  void failFor(const std::string& type);    // answers these questions with SERVFAIL
  // TXT records are those of `primary`, after `questions` of them were answered without.
  void follow(DnsServer& primary, int questions);

  std::vector<std::string> txt(const std::string& name) const;
  int questions(const std::string& type) const;  // "TXT", "SOA", ... that were answered
  int updates() const;                           // that changed something
  int tcpConnections() const { return tcpConnections_; }

 private:
  struct Record {
    std::string owner, type, text;
  };
  void serve();
  void serveTcp(int descriptor);
  std::string answerTo(const std::string& bytes, bool udp);
  std::string update(const std::string& bytes);
  std::string zoneOf(const std::string& name) const;

  const std::string address_;
  std::uint16_t port_ = 0;
  int udp_ = -1, tcp_ = -1, wake_[2] = {-1, -1};
  mutable std::mutex mutex_;
  std::vector<std::string> zones_, delegated_, asked_;
  std::vector<Record> records_;
  std::string keyName_, secret_, algorithm_, failing_;
  int refusal_ = 0, updates_ = 0, lag_ = 0;
  bool silent_ = false, swallowing_ = false, spoiling_ = false, truncating_ = false;
  DnsServer* primary_ = nullptr;
  std::atomic<int> tcpConnections_{0};
  std::thread thread_;
};

}  // namespace postern::test
