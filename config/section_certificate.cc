// certificate.<name>: PEM of an administrator's own certificates. Whether key and chain belong together is tls's to
// say.
#include "config/sections.h"

namespace postern::config {
namespace {

constexpr std::string_view fileScheme = "file://";

// The PEM of a key: as it stands, or of the file it names.
std::string readPem(const Reader& reader, const Found& found, std::string_view label, std::string& file) {
  if (!found || !found.node->isText()) return "";
  std::string text = found.node->text;
  if (text.starts_with(fileScheme)) {
    file = text.substr(fileScheme.size());
    if (file.empty() || file.front() != '/') {
      reader.error(found, "expected an absolute path behind file://", "write \"file:///path\"");
      return "";
    }
    Files::Content content = reader.files().read(file);
    if (!content.text) {
      reader.error(found, "the file cannot be read: " + content.why, "check the path and who may read it");
      return "";
    }
    text = std::move(*content.text);
  }
  if (text.find("-----BEGIN ") == std::string::npos || text.find(label) == std::string::npos) {
    const bool path = !text.empty() && text.front() == '/' && file.empty();
    reader.error(found, "expected PEM with -----BEGIN ... " + std::string(label) + "-----, or file:///path",
                 path ? "write file:// before the path" : "");
  }
  return text;
}

}  // namespace

void readCertificates(const Reader& reader, Settings& settings) {
  for (const std::string& name : reader.ids({"certificate"})) {
    const KeyPath section{"certificate", name};
    StaticCertificate certificate;
    certificate.name = name;
    reader.require(section / "cert", "required", "give the certificate and its chain as PEM or file:///path");
    reader.require(section / "private-key", "required", "give the private key as PEM or file:///path");
    certificate.certificatePem =
        readPem(reader, reader.find(section / "cert"), "CERTIFICATE", certificate.certificateFile);
    certificate.keyPem =
        Secret(readPem(reader, reader.find(section / "private-key"), "PRIVATE KEY", certificate.keyFile));
    settings.certificates.push_back(std::move(certificate));
  }
}

}  // namespace postern::config
