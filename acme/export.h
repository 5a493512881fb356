// Exporter: copies of certificates for other programs: `acme.<n>.export` and `export-group` (contract section 4).
//
//   <export>/<primary name>/{privkey.pem,fullchain.pem,chain.pem,cert.pem,tls.pem}   of the first key type
//   <export>/<primary name>/<key type>/...                                           of each further one
//
// So what another program was told to read stays where it is when a second key type comes.
// Folders 0750, files 0640, of the group `export-group`; a wildcard's "*" is "_" in the folder's name. Each file is
// replaced whole. The certificates' files are written before the key's and tls.pem last: a program that reads key and
// chain from two files may meet a new one beside an old one for a moment, one that reads tls.pem (key, then chain)
// never does.
//
// Any thread; writes of one exporter happen one after the other. A copy that fails is an error in the log and nothing
// else: what is served comes from the cache. Nothing is ever deleted here.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "acme/provider.h"
#include "base/log.h"
#include "tls/certified_key.h"

namespace postern::acme {

class Exporter {
 public:
  // The log outlives the exporter.
  explicit Exporter(Log& log) : log_(log) {}

  // Writes what is missing or different, owner, group and mode included; nothing where `provider` exports nothing.
  // Called with each certificate that was stored, and at apply() with each that is in service.
  void write(const Provider& provider, const std::vector<std::string>& names, const std::string& keyType,
             const tls::CertifiedKey& certificate) noexcept;

  // Where the copies of a certificate go.
  static std::filesystem::path folderOf(const Provider& provider, const std::vector<std::string>& names,
                                        const std::string& keyType);

 private:
  void copy(const Provider& provider, const std::vector<std::string>& names, const std::string& keyType,
            const tls::CertifiedKey& certificate);
  void noteSharing(const std::filesystem::path& folder, std::vector<std::string> names);

  Log& log_;
  std::mutex mutex_;
  std::map<std::filesystem::path, std::vector<std::string>> names_;  // whose copies each folder was given last
};

}  // namespace postern::acme
