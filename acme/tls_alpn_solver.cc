#include "acme/tls_alpn_solver.h"

#include <array>

#include "acme/error.h"

namespace postern::acme {
namespace {

class Shown : public Presented {
 public:
  Shown(tls::AlpnChallenges& challenges, std::uint64_t handle) : challenges_(challenges), handle_(handle) {}
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;
  ~Shown() override { challenges_.cleanUp(handle_); }

 private:
  tls::AlpnChallenges& challenges_;
  std::uint64_t handle_;
};

}  // namespace

std::unique_ptr<Presented> TlsAlpnSolver::present(const ChallengeAnswer& answer, std::stop_token) {
  try {
    std::array<unsigned char, 32> digest{};
    if (EVP_Digest(answer.keyAuthorization.data(), answer.keyAuthorization.size(), digest.data(), nullptr, EVP_sha256(),
                   nullptr) != 1) {
      tls::fail("cannot hash the key authorization");
    }
    auto certificate =
        tls::makeChallengeCertificate(answer.identifier, std::string(digest.begin(), digest.end()), clock_.now());
    return std::make_unique<Shown>(challenges_, challenges_.present(answer.identifier, std::move(certificate)));
  } catch (const tls::Error& error) {
    throw Error(makeProblem("postern:certificate",
                            std::string("cannot make the challenge certificate: ") + error.what(), answer.identifier));
  }
}

}  // namespace postern::acme
