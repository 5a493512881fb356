// What passes between the server and its CA: orders, their ends, and questions about certificates.
#include <algorithm>

#include "acme/error.h"
#include "base/json.h"
#include "tests/simulation/world.h"

namespace postern::simulation {
namespace {

using namespace std::chrono_literals;
using acme::CertificateCare;
using acme::LedgerEntry;
using acme::Problem;

constexpr auto askAgain = std::chrono::hours(6);  // Let's Encrypt's Retry-After
constexpr std::uint64_t readEvery = 256;

Problem problem(const std::string& type, int status, const std::string& name = {}) {
  Problem made = acme::makeProblem("urn:ietf:params:acme:error:" + type, "of the model", name);
  made.status = status;
  return made;
}

acme::HttpResponse renewalInfoOf(const CaCertificate& certificate) {
  Json body;
  body["suggestedWindow"]["start"] = rfc3339(certificate.windowStart);
  body["suggestedWindow"]["end"] = rfc3339(certificate.windowEnd);
  acme::HttpResponse response;
  response.status = 200;
  response.headers.emplace("content-type", "application/json");
  response.headers.emplace("retry-after", std::to_string(std::chrono::seconds(askAgain).count()));
  response.body = body.dump();
  return response;
}

}  // namespace

// Whether the answer may change what is due.
bool World::ask(Managed& managed) {
  const Time now = serversNow();
  if (outage()) {
    managed.care->notTold(now);
    return false;
  }
  ++figures_.questions;
  const CaCertificate& held = ca_.certificate(*managed.held);
  const std::string id = managed.care->held()->renewalId;
  std::optional<acme::RenewalInfo> before = managed.care->info();
  if (before && before->certificateId != id) before.reset();
  if (!habits_.ariThere) {  // its directory is looked at again tomorrow
    acme::RenewalInfo none;
    none.certificateId = id;
    none.askAgain = now + 24h;
    managed.care->told(std::move(none));
    return false;
  }
  if (before && before->pick && before->start == held.windowStart && before->end == held.windowEnd &&
      figures_.questions % readEvery != 0) {
    // Millions of answers of one content need not all be parsed.
    before->askAgain = now + askAgain;
    managed.care->told(std::move(*before));
    return false;
  }
  managed.care->told(
      acme::readRenewalInfo(renewalInfoOf(held), id, managed.care->held()->facts.notAfter, before, now, dice_.roll()));
  return true;
}

// False when a limit did not let it out after all.
bool World::order(Managed& managed, const CertificateCare::Attempt& attempt) {
  const Time now = serversNow();
  managed.reached = !outage();
  managed.refusal.reset();
  if (managed.pending && ca_.stateOf(*managed.pending, now_) == ModelCa::State::Gone) managed.pending.reset();
  if (managed.pending) {
    ++figures_.resumed;
    return true;
  }
  if (habits_.heedsLimits) {
    const Time out = earliest(managed, attempt.kind);
    if (out > now && !attempt.passesLimits) return false;
    if (out > now) ++figures_.passed;
  }
  record(managed, LedgerEntry::Kind::Order, attempt.kind);
  if (!managed.reached) return true;
  std::optional<std::size_t> replaces;
  if (habits_.ariThere && !attempt.replaces.empty() && !ca_.certificate(*managed.held).replaced)
    replaces = managed.held;
  auto answer = ca_.newOrder(managed.name, replaces, now_);
  if (answer.refusal) {
    managed.refusal = std::move(answer.refusal);
    return true;
  }
  managed.pending = answer.order;
  if (!managed.held) {
    ++figures_.first;
  } else if (attempt.forced) {
    ++figures_.forced;
  } else {
    const CaCertificate& held = ca_.certificate(*managed.held);
    ++figures_.byDays[static_cast<int>((held.notAfter - held.notBefore + 1h) / day)].orders;
  }
  return true;
}

void World::finish(Managed& managed, const CertificateCare::Attempt& attempt) {
  const Time now = serversNow();
  if (const auto refusal = std::exchange(managed.refusal, std::nullopt)) {
    const Time until = now + (refusal->retryAfter - now_);
    if (habits_.heedsLimits) ledger_->told(until, {managed.name}, now);
    beside_.reset();
    return fail(managed, problem("rateLimited", 429), until);
  }
  if (outage() || !managed.reached) {
    if (outageSaysWhen_) return fail(managed, problem("serverInternal", 503), now + 1h);
    return fail(managed, acme::makeProblem("postern:connection", "of the model"), std::nullopt);
  }
  const bool there = ca_.stateOf(*managed.pending, now_) == ModelCa::State::Valid;
  if (!there && now_ < managed.brokenUntil) {
    ca_.validationFailed(*managed.pending, now_);
    managed.pending.reset();
    record(managed, LedgerEntry::Kind::FailedValidation, attempt.kind);
    return fail(managed, problem(dice_.roll() < 0.5 ? "connection" : "unauthorized", 403, managed.name), std::nullopt);
  }
  // Now and then an order gets stuck, or its last answer is lost after the effect took place.
  const double chance = dice_.roll();
  if (chance < 0.004) return fail(managed, problem("serverInternal", 500), std::nullopt);
  const std::size_t number = ca_.finalize(*managed.pending, now_);
  if (chance < 0.008) return fail(managed, acme::makeProblem("postern:timeout", "of the model"), std::nullopt);
  managed.pending.reset();
  if (managed.held) {
    noteHeld(managed, now_);
  } else {
    figures_.longestFirst = std::max<Duration>(figures_.longestFirst, now_ - managed.wantedFrom);
  }
  managed.held = number;
  managed.heldFrom = now_;
  if (managed.revokedAt) {
    figures_.longestRevoked = std::max<Duration>(figures_.longestRevoked, now_ - *managed.revokedAt);
    managed.revokedAt.reset();
  }
  managed.care->succeeded(*heldBy(managed), now);
  record(managed, LedgerEntry::Kind::Issuance, attempt.kind);
}

void World::fail(Managed& managed, const Problem& why, std::optional<Time> retryAfter) {
  ++figures_.failed;
  managed.care->failed(why, retryAfter, managed.pending.has_value(), serversNow(), dice_.roll());
}

}  // namespace postern::simulation
