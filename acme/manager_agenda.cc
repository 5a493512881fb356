#include "acme/manager_agenda.h"

#include <tuple>
#include <utility>

#include "acme/managed_certificate.h"

namespace postern::acme {

bool Agenda::Sooner::operator()(const ManagedCertificate* a, const ManagedCertificate* b) const {
  return std::tie(a->place.at_, a->place.number_) < std::tie(b->place.at_, b->place.number_);
}

bool Agenda::Before::operator()(const ManagedCertificate* a, const ManagedCertificate* b) const {
  return std::tie(a->place.question_, a->place.due_, a->place.number_) <
         std::tie(b->place.question_, b->place.due_, b->place.number_);
}

void Agenda::plan(ManagedCertificate& managed, Time at) {
  Place& place = managed.place;
  if (place.number_ == 0) place.number_ = ++last_;
  if (!place.planned_) {
    place.at_ = at;
    planned_.insert(&managed);
    place.planned_ = true;
  } else if (place.at_ != at) {
    auto entry = planned_.extract(&managed);
    place.at_ = at;
    planned_.insert(std::move(entry));
  }
}

ManagedCertificate* Agenda::due(Time now) const {
  return next() <= now && !planned_.empty() ? *planned_.begin() : nullptr;
}

Time Agenda::next() const {
  return planned_.empty() ? Time::max() : (*planned_.begin())->place.at_;
}

void Agenda::await(ManagedCertificate& managed, const ProviderCare& provider, bool again, bool question, Time due) {
  awaitNone(managed);
  Place& place = managed.place;
  if (place.number_ == 0) place.number_ = ++last_;
  place.question_ = question;
  place.due_ = due;
  place.again_ = again;
  waiting_[{&provider, again}].insert(&managed);
  place.provider_ = &provider;
}

void Agenda::awaitNone(ManagedCertificate& managed) {
  const ProviderCare* provider = std::exchange(managed.place.provider_, nullptr);
  if (provider == nullptr) return;
  const auto line = waiting_.find({provider, managed.place.again_});
  line->second.erase(&managed);
  if (line->second.empty()) waiting_.erase(line);
}

ManagedCertificate* Agenda::first(const HasSlot& hasSlot) const {
  ManagedCertificate* found = nullptr;
  for (const auto& [key, line] : waiting_) {
    if ((found == nullptr || Before()(*line.begin(), found)) && hasSlot(*key.first, key.second)) found = *line.begin();
  }
  return found;
}

void Agenda::remove(ManagedCertificate& managed) {
  awaitNone(managed);
  if (!std::exchange(managed.place.planned_, false)) return;
  planned_.erase(&managed);
}

}  // namespace postern::acme
