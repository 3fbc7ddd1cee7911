// Catches: places given twice or never again, an order that is not priority and then arrival, a
// wait beyond the limit that is taken on, and the wrong one shed.

#include "gateway/admission.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace noroshi::gateway {
namespace {

using Verdict = Admission::Verdict;

// Requests by name, and what became of those that waited.
struct Crowd {
  Admission admission{10, 100};
  int places = 2;
  double share = 1;
  std::vector<std::string> admitted, shed;
  int last_retry_s = 0;

  Admission::Ticket enter(const std::string& name, Priority priority = Priority::standard) {
    return admission.enter(priority, places, share, [this, name](Verdict verdict, int retry_s) {
      (verdict == Verdict::admitted ? admitted : shed).push_back(name);
      last_retry_s = retry_s;
    });
  }
};

TEST(Admission, PlacesAreTakenAndGivenBack) {
  Crowd crowd;
  EXPECT_EQ(crowd.enter("a").verdict, Verdict::admitted);
  EXPECT_EQ(crowd.enter("b").verdict, Verdict::admitted);
  EXPECT_EQ(crowd.enter("c").verdict, Verdict::waits);
  EXPECT_EQ(crowd.enter("d").verdict, Verdict::waits);
  crowd.admission.done(1);
  EXPECT_EQ(crowd.admitted, (std::vector<std::string>{"c"}));
  crowd.admission.done(1);
  crowd.admission.done(1);
  crowd.admission.done(1);
  EXPECT_EQ(crowd.admitted, (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(crowd.admission.at_engine(), 0);
  EXPECT_EQ(crowd.admission.waiting(), 0);
}

TEST(Admission, TheLeaseTakesPlacesAndOneStays) {
  Crowd crowd;
  crowd.places = 4;
  crowd.share = 0.5;
  EXPECT_EQ(crowd.enter("a").verdict, Verdict::admitted);
  EXPECT_EQ(crowd.enter("b").verdict, Verdict::admitted);
  EXPECT_EQ(crowd.enter("c").verdict, Verdict::waits);
  crowd.share = 0;  // now one place: nobody is admitted until two have left
  EXPECT_EQ(crowd.enter("d").verdict, Verdict::waits);
  crowd.admission.done(1);
  EXPECT_TRUE(crowd.admitted.empty());
  crowd.admission.done(1);
  EXPECT_EQ(crowd.admitted, (std::vector<std::string>{"c"}));
  crowd.share = 1;  // and all are back: the next to come brings the news
  EXPECT_EQ(crowd.enter("e").verdict, Verdict::admitted);
  EXPECT_EQ(crowd.admitted, (std::vector<std::string>{"c", "d"}));
}

TEST(Admission, PriorityGoesFirstAndTheLowestAndNewestIsShed) {
  Crowd crowd;
  crowd.places = 1;
  EXPECT_EQ(crowd.enter("at work").verdict, Verdict::admitted);
  // One second each and ten allowed: ten may wait.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(crowd.enter("flex " + std::to_string(i), Priority::sheddable).verdict,
              Verdict::waits);
    EXPECT_EQ(crowd.enter("standard " + std::to_string(i)).verdict, Verdict::waits);
  }
  const auto late = crowd.enter("late", Priority::sheddable);
  EXPECT_EQ(late.verdict, Verdict::refused);
  EXPECT_EQ(late.retry_after_s, 1);
  EXPECT_EQ(crowd.enter("urgent", Priority::critical).verdict, Verdict::waits);
  EXPECT_EQ(crowd.shed, (std::vector<std::string>{"flex 4"}));
  EXPECT_EQ(crowd.last_retry_s, 1);
  EXPECT_EQ(crowd.admission.shed(), 1u);
  for (int i = 0; i < 3; ++i) crowd.admission.done(1);
  EXPECT_EQ(crowd.admitted, (std::vector<std::string>{"urgent", "standard 0", "standard 1"}));
}

TEST(Admission, SlowServiceRefusesEarlier) {
  Crowd crowd;
  crowd.places = 1;
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(crowd.enter("x").verdict, Verdict::admitted);
    crowd.admission.done(30);
  }
  EXPECT_EQ(crowd.enter("a").verdict, Verdict::admitted);
  const auto refused = crowd.enter("b");
  EXPECT_EQ(refused.verdict, Verdict::refused);
  EXPECT_GE(refused.retry_after_s, 19);
}

TEST(Admission, OneThatLeavesIsNotTold) {
  Crowd crowd;
  crowd.places = 1;
  EXPECT_EQ(crowd.enter("a").verdict, Verdict::admitted);
  const auto ticket = crowd.enter("b");
  EXPECT_TRUE(crowd.admission.leave(ticket.number));
  EXPECT_FALSE(crowd.admission.leave(ticket.number));
  crowd.admission.done(1);
  EXPECT_TRUE(crowd.admitted.empty());
  EXPECT_EQ(crowd.admission.at_engine(), 0);
}

TEST(Admission, WithoutPlacesThereIsNoLimit) {
  Crowd crowd;
  crowd.places = 0;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(crowd.enter("x").verdict, Verdict::admitted);
  EXPECT_EQ(priority_of("flex"), Priority::sheddable);
  EXPECT_EQ(priority_of("priority"), Priority::critical);
  EXPECT_EQ(priority_of("auto"), Priority::standard);
}

}  // namespace
}  // namespace noroshi::gateway
