#include "acme/dns_message.h"

#include <ldns/ldns.h>
#include <openssl/rand.h>

#include <cstdlib>
#include <memory>

#include "acme/error.h"
#include "base/text.h"

namespace postern::acme {
namespace {

struct Free {
  void operator()(ldns_pkt* packet) const noexcept { ldns_pkt_free(packet); }
  void operator()(ldns_rdf* field) const noexcept { ldns_rdf_deep_free(field); }
  void operator()(ldns_rr* record) const noexcept { ldns_rr_free(record); }
  void operator()(ldns_rr_list* list) const noexcept { ldns_rr_list_deep_free(list); }
  void operator()(char* text) const noexcept { std::free(text); }
  void operator()(std::uint8_t* bytes) const noexcept { std::free(bytes); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

[[noreturn]] void cannotCarry(const std::string& what, const std::string& name) {
  throw Error(makeProblem("postern:dns", what, name));
}

Owned<ldns_rdf> dnameOf(const std::string& name) {
  Owned<ldns_rdf> field(ldns_dname_new_frm_str((name + ".").c_str()));
  if (!field) cannotCarry("not a name that DNS can carry", name);
  return field;
}

std::string bytesOf(const ldns_pkt* packet, const std::string& name) {
  std::uint8_t* raw = nullptr;
  std::size_t size = 0;
  if (ldns_pkt2wire(&raw, packet, &size) != LDNS_STATUS_OK) cannotCarry("cannot make a DNS message", name);
  Owned<std::uint8_t> owner(raw);
  return std::string(raw, raw + size);
}

std::string textOf(const ldns_rdf* field) {
  Owned<char> text(ldns_rdf2str(field));
  return text ? normalizedDnsName(text.get()) : std::string();
}

// The strings of a TXT record follow one another, each behind its length.
std::string stringsOf(const ldns_rr* record) {
  std::string all;
  for (std::size_t i = 0; i < ldns_rr_rd_count(record); ++i) {
    const ldns_rdf* field = ldns_rr_rdf(record, i);
    const std::uint8_t* data = ldns_rdf_data(field);
    if (ldns_rdf_size(field) > 1) all.append(data + 1, data + ldns_rdf_size(field));
  }
  return all;
}

// "0 issue ca.example.net; policy=ev"
std::string caaOf(const ldns_rr* record) {
  std::string all;
  for (std::size_t i = 0; i < ldns_rr_rd_count(record); ++i) {
    const Owned<char> text(ldns_rdf2str(ldns_rr_rdf(record, i)));
    std::string field = text ? text.get() : "";
    if (field.size() > 1 && field.front() == '"' && field.back() == '"') field = field.substr(1, field.size() - 2);
    all += (i == 0 ? "" : " ") + field;
  }
  return all;
}

std::string dataOf(const ldns_rr* record) {
  if (ldns_rr_rd_count(record) == 0) return {};
  switch (ldns_rr_get_type(record)) {
    case LDNS_RR_TYPE_A:
    case LDNS_RR_TYPE_AAAA:
    case LDNS_RR_TYPE_NS:
    case LDNS_RR_TYPE_CNAME: return textOf(ldns_rr_rdf(record, 0));
    case LDNS_RR_TYPE_TXT: return stringsOf(record);
    case LDNS_RR_TYPE_CAA: return caaOf(record);
    default: return {};
  }
}

std::vector<DnsRecord> recordsOf(const ldns_rr_list* list) {
  std::vector<DnsRecord> records;
  for (std::size_t i = 0; list && i < ldns_rr_list_rr_count(list); ++i) {
    const ldns_rr* record = ldns_rr_list_rr(list, i);
    if (ldns_rr_get_class(record) != LDNS_RR_CLASS_IN) continue;
    records.push_back(
        {textOf(ldns_rr_owner(record)), static_cast<std::uint16_t>(ldns_rr_get_type(record)), dataOf(record)});
  }
  return records;
}

Owned<ldns_rr> changeOf(DnsChange change, const TxtRecord& record) {
  if (record.value.empty() || record.value.size() > 255)
    cannotCarry("the value does not fit a TXT record", record.name);
  Owned<ldns_rr> made(ldns_rr_new());
  if (!made) throw std::bad_alloc();
  ldns_rr_set_owner(made.get(), dnameOf(record.name).release());
  ldns_rr_set_type(made.get(), LDNS_RR_TYPE_TXT);
  // Class NONE deletes the one record that is equal (RFC 2136 section 2.5.4).
  ldns_rr_set_class(made.get(), change == DnsChange::Add ? LDNS_RR_CLASS_IN : LDNS_RR_CLASS_NONE);
  ldns_rr_set_ttl(made.get(), change == DnsChange::Add ? record.ttl : 0);
  std::string data(1, static_cast<char>(record.value.size()));
  data += record.value;
  Owned<ldns_rdf> field(ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, data.size(), data.data()));
  if (!field || !ldns_rr_push_rdf(made.get(), field.get())) throw std::bad_alloc();
  static_cast<void>(field.release());
  return made;
}

}  // namespace

std::string nameOf(DnsRcode rcode) {
  switch (rcode) {
    case DnsRcode::NoError: return "NOERROR";
    case DnsRcode::FormErr: return "FORMERR";
    case DnsRcode::ServFail: return "SERVFAIL";
    case DnsRcode::NxDomain: return "NXDOMAIN";
    case DnsRcode::NotImp: return "NOTIMP";
    case DnsRcode::Refused: return "REFUSED";
    case DnsRcode::NotAuth: return "NOTAUTH";
    case DnsRcode::NotZone: return "NOTZONE";
  }
  return "rcode " + std::to_string(static_cast<int>(rcode));
}

std::string_view nameOf(DnsType type) {
  switch (type) {
    case DnsType::A: return "A";
    case DnsType::Ns: return "NS";
    case DnsType::Cname: return "CNAME";
    case DnsType::Soa: return "SOA";
    case DnsType::Txt: return "TXT";
    case DnsType::Aaaa: return "AAAA";
    case DnsType::Caa: return "CAA";
  }
  return "";
}

std::string encodeQuery(std::uint16_t id, const std::string& name, DnsType type, bool recursionDesired) {
  const auto flags = static_cast<std::uint16_t>(recursionDesired ? LDNS_RD : 0);
  Owned<ldns_pkt> packet(
      ldns_pkt_query_new(dnameOf(name).release(), static_cast<ldns_rr_type>(type), LDNS_RR_CLASS_IN, flags));
  if (!packet) throw std::bad_alloc();
  ldns_pkt_set_id(packet.get(), id);
  return bytesOf(packet.get(), name);
}

std::string encodeUpdate(std::uint16_t id, const std::string& zone, DnsChange change, const TxtRecord& record) {
  Owned<ldns_rr> made = changeOf(change, record);
  Owned<ldns_rr_list> updates(ldns_rr_list_new());
  if (!updates || !ldns_rr_list_push_rr(updates.get(), made.get())) throw std::bad_alloc();
  static_cast<void>(made.release());
  Owned<ldns_pkt> packet(
      ldns_update_pkt_new(dnameOf(zone).release(), LDNS_RR_CLASS_IN, nullptr, updates.get(), nullptr));
  if (!packet) throw std::bad_alloc();
  ldns_pkt_set_id(packet.get(), id);
  return bytesOf(packet.get(), record.name);
}

std::optional<DnsMessage> decodeDns(std::string_view bytes) {
  ldns_pkt* raw = nullptr;
  const std::string copy(bytes);  // unsigned bytes, without a cast
  const std::vector<std::uint8_t> data(copy.begin(), copy.end());
  if (ldns_wire2pkt(&raw, data.data(), data.size()) != LDNS_STATUS_OK) return {};
  Owned<ldns_pkt> packet(raw);
  DnsMessage message;
  message.id = ldns_pkt_id(raw);
  message.response = ldns_pkt_qr(raw);
  message.authoritative = ldns_pkt_aa(raw);
  message.truncated = ldns_pkt_tc(raw);
  message.recursionAvailable = ldns_pkt_ra(raw);
  message.rcode = static_cast<DnsRcode>(ldns_pkt_get_rcode(raw));
  const ldns_rr_list* questions = ldns_pkt_question(raw);
  if (questions && ldns_rr_list_rr_count(questions) > 0) {
    const ldns_rr* first = ldns_rr_list_rr(questions, 0);
    message.questionName = textOf(ldns_rr_owner(first));
    message.questionType = static_cast<std::uint16_t>(ldns_rr_get_type(first));
  }
  message.answer = recordsOf(ldns_pkt_answer(raw));
  message.authority = recordsOf(ldns_pkt_authority(raw));
  return message;
}

std::string normalizedDnsName(std::string_view name) {
  std::string result = lower(name);
  if (!result.empty() && result.back() == '.') result.pop_back();
  return result;
}

std::string parentOf(const std::string& name) {
  const std::size_t dot = name.find('.');
  return dot == std::string::npos ? std::string() : name.substr(dot + 1);
}

bool isWithin(std::string_view name, std::string_view zone) {
  if (zone.empty() || name == zone) return true;
  return name.size() > zone.size() && name.ends_with(zone) && name[name.size() - zone.size() - 1] == '.';
}

std::uint16_t randomDnsId() {
  unsigned char bytes[2] = {};
  if (RAND_bytes(bytes, sizeof bytes) != 1) throw Error(makeProblem("postern:dns", "no random numbers can be had"));
  return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

}  // namespace postern::acme
