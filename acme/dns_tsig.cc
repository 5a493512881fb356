#include "acme/dns_tsig.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "acme/dns_message.h"
#include "acme/error.h"
#include "base/text.h"

namespace postern::acme {
namespace {

constexpr std::uint16_t tsigType = 250, classAny = 255;
constexpr std::uint16_t fudge = 300;  // seconds that the clocks may differ (RFC 8945 section 10)
constexpr std::size_t headerSize = 12;

const EVP_MD* digestOf(const std::string& algorithm) {
  static const std::map<std::string, const EVP_MD* (*)(), std::less<>> known{{"hmac-sha1", EVP_sha1},
                                                                             {"hmac-sha224", EVP_sha224},
                                                                             {"hmac-sha256", EVP_sha256},
                                                                             {"hmac-sha384", EVP_sha384},
                                                                             {"hmac-sha512", EVP_sha512}};
  const auto found = known.find(algorithm);
  return found == known.end() ? nullptr : found->second();
}

std::string number(std::uint64_t value, int bytes) {
  std::string result;
  for (int i = bytes - 1; i >= 0; --i) result += static_cast<char>(value >> (8 * i) & 0xff);
  return result;
}

// A name's labels behind their lengths, in lower case as the MAC wants them (RFC 8945 section 4.3.3).
std::string wireName(const std::string& name) {
  std::string wire;
  for (const std::string& label : split(normalizedDnsName(name), '.')) {
    if (label.empty() || label.size() > 63) {
      throw Error(makeProblem("postern:dns", "the TSIG key's name \"" + name + "\" is not a DNS name; mend dns.key"));
    }
    wire += static_cast<char>(label.size());
    wire += label;
  }
  return wire + '\0';
}

std::string hmac(const EVP_MD* digest, const Secret& secret, const std::string& data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned int size = 0;
  const std::string_view key = secret.reveal();
  const std::vector<unsigned char> input(data.begin(), data.end());
  if (!HMAC(digest, key.data(), static_cast<int>(key.size()), input.data(), input.size(), mac.data(), &size)) {
    throw Error(makeProblem("postern:dns", "the TSIG signature cannot be made"));
  }
  return std::string(mac.begin(), mac.begin() + size);
}

// What of the TSIG record goes into the MAC (RFC 8945 section 4.3.3).
std::string variables(const TsigKey& key, std::uint64_t time, std::uint16_t fudgeTime, std::uint16_t error,
                      const std::string& other) {
  return wireName(key.name) + number(classAny, 2) + number(0, 4) + wireName(key.algorithm) + number(time, 6) +
         number(fudgeTime, 2) + number(error, 2) + number(other.size(), 2) + other;
}

// Reads big-endian numbers and names; every step is checked against the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::size_t at() const { return at_; }
  bool good() const { return good_; }

  std::uint64_t readNumber(std::size_t size) {
    std::uint64_t value = 0;
    for (const char byte : readBytes(size)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  std::string readBytes(std::size_t size) {
    if (!good_ || bytes_.size() - at_ < size) {
      good_ = false;
      return std::string(size, '\0');
    }
    at_ += size;
    return std::string(bytes_.substr(at_ - size, size));
  }
  // A name without compression, in lower case and wire form; of a compressed one what stands before the pointer.
  std::string readName() {
    std::string name;
    while (good_) {
      const std::uint64_t length = readNumber(1);
      if (length >= 0xc0) {
        readNumber(1);
        return name;
      }
      name += static_cast<char>(length);
      if (length == 0) return name;
      if (length > 63) good_ = false;
      name += lower(readBytes(static_cast<std::size_t>(length)));
    }
    return name;
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  bool good_ = true;
};

struct TsigRecord {
  std::size_t begin = 0;  // in the message
  std::string keyName, algorithm, mac, other;
  std::uint64_t time = 0;
  std::uint16_t fudgeTime = 0, originalId = 0, error = 0;
};

// The last record of the additional section, when it is a TSIG record (RFC 8945 section 5.1).
std::optional<TsigRecord> findTsig(std::string_view message) {
  Reader reader(message);
  reader.readBytes(4);
  const std::uint64_t questions = reader.readNumber(2);
  std::uint64_t records = reader.readNumber(2);
  records += reader.readNumber(2);
  const std::uint64_t additional = reader.readNumber(2);
  records += additional;
  if (!reader.good() || additional == 0) return {};
  for (std::uint64_t i = 0; i < questions && reader.good(); ++i) {
    reader.readName();
    reader.readBytes(4);
  }
  for (std::uint64_t i = 1; i < records && reader.good(); ++i) {
    reader.readName();
    reader.readBytes(8);
    reader.readBytes(static_cast<std::size_t>(reader.readNumber(2)));
  }
  TsigRecord record;
  record.begin = reader.at();
  record.keyName = reader.readName();
  const bool isTsig = reader.readNumber(2) == tsigType;
  reader.readBytes(8);  // class, TTL, length
  record.algorithm = reader.readName();
  record.time = reader.readNumber(6);
  record.fudgeTime = static_cast<std::uint16_t>(reader.readNumber(2));
  record.mac = reader.readBytes(static_cast<std::size_t>(reader.readNumber(2)));
  record.originalId = static_cast<std::uint16_t>(reader.readNumber(2));
  record.error = static_cast<std::uint16_t>(reader.readNumber(2));
  record.other = reader.readBytes(static_cast<std::size_t>(reader.readNumber(2)));
  if (!reader.good() || !isTsig || reader.at() != message.size()) return {};
  return record;
}

// The message as it was before it was signed.
std::string withoutTsig(std::string_view message, const TsigRecord& record) {
  std::string bare(message.substr(0, record.begin));
  Reader header(message);
  header.readBytes(10);
  bare.replace(10, 2, number(header.readNumber(2) - 1, 2));
  bare.replace(0, 2, number(record.originalId, 2));
  return bare;
}

}  // namespace

SignedMessage signWithTsig(std::string_view message, const TsigKey& key, TsigTime now) {
  const EVP_MD* digest = digestOf(key.algorithm);
  if (!digest) {
    throw Error(makeProblem("postern:dns", "no TSIG algorithm is called \"" + key.algorithm +
                                               "\"; set dns.tsig-algorithm to hmac-sha256 or another of its family"));
  }
  if (message.size() < headerSize) throw Error(makeProblem("postern:dns", "no DNS message to sign"));
  const auto time = static_cast<std::uint64_t>(now.time_since_epoch().count());
  const std::string mac = hmac(digest, key.secret, std::string(message) + variables(key, time, fudge, 0, {}));
  const std::string data = wireName(key.algorithm) + number(time, 6) + number(fudge, 2) + number(mac.size(), 2) + mac +
                           std::string(message.substr(0, 2)) + number(0, 2) + number(0, 2);
  std::string whole(message);
  Reader header(message);
  header.readBytes(10);
  whole.replace(10, 2, number(header.readNumber(2) + 1, 2));
  whole +=
      wireName(key.name) + number(tsigType, 2) + number(classAny, 2) + number(0, 4) + number(data.size(), 2) + data;
  return {whole, mac};
}

TsigVerdict verifyTsig(std::string_view answer, const std::string& requestMac, const TsigKey& key, TsigTime now) {
  const auto record = findTsig(answer);
  if (!record) return {false, 0, "the answer is not signed"};
  TsigVerdict verdict{false, record->error, {}};
  if (record->keyName != wireName(key.name) || record->algorithm != wireName(key.algorithm)) {
    verdict.why = "the answer is signed with another key";
    return verdict;
  }
  const std::string signedData = number(requestMac.size(), 2) + requestMac + withoutTsig(answer, *record) +
                                 variables(key, record->time, record->fudgeTime, record->error, record->other);
  const std::string mac = hmac(digestOf(key.algorithm), key.secret, signedData);
  if (record->mac.size() != mac.size() || CRYPTO_memcmp(mac.data(), record->mac.data(), mac.size()) != 0) {
    verdict.why = "the answer's signature is wrong";
    return verdict;
  }
  const auto seconds = static_cast<std::uint64_t>(now.time_since_epoch().count());
  const std::uint64_t apart = seconds > record->time ? seconds - record->time : record->time - seconds;
  if (apart > std::max<std::uint64_t>(record->fudgeTime, 1)) {
    verdict.why = "the answer was signed at another time";
    return verdict;
  }
  verdict.verified = true;
  return verdict;
}

}  // namespace postern::acme
