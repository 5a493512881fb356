// An answer of a DNS server, which anybody on the way may have written: decoded, and its TSIG signature verified, it
// becomes a value or nothing; it is never taken for signed.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "acme/dns_message.h"
#include "acme/dns_tsig.h"
#include "acme/error.h"

using namespace postern;
using namespace postern::acme;

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto message = decodeDns(bytes)) {
    must(message->answer.size() <= size && message->authority.size() <= size);
    for (const DnsRecord& record : message->answer) {
      must(record.data.size() <= 4 * 65536);
      must(isWithin(record.owner, ""));
      // A name that was decoded and is asked for, as a CNAME's target is, is one that can be asked for or an Error.
      if (record.is(DnsType::Cname)) {
        try {
          must(decodeDns(encodeQuery(1, record.data, DnsType::Txt, true)).has_value());
        } catch (const Error& error) {
          must(error.problem.type == "postern:dns");
        }
      }
    }
  }
  static const TsigKey key{"acme-key", "hmac-sha256", Secret("drawn by nobody who fuzzes")};
  const TsigVerdict verdict = verifyTsig(bytes, std::string(32, 'm'), key, TsigTime(std::chrono::seconds(1772366400)));
  must(!verdict.verified && !verdict.why.empty());
  return 0;
}
